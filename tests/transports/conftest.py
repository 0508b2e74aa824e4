"""This folder runs over unix sockets, and `tests/integration/test_real_vsock.py` runs it again over AF_VSOCK."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from places import PATIENCE, Peer, Place, new_socket

from wire.stream import Listener, listen


def pytest_report_header() -> str:
    """What the sockets are, for whoever has to know that it was AF_VSOCK."""
    address = Place.fresh(Path("/tmp")).connect
    with new_socket(address) as sock:
        return f"transport: {address} is {sock.family.name}"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place where nobody listens yet."""
    return Place.fresh(tmp_path)


@pytest.fixture
def listener(place: Place) -> Iterator[Listener]:
    """One who listens there."""
    made = listen(place.listen)
    yield made
    made.close()


@pytest.fixture
def peer(place: Place, listener: Listener) -> Iterator[Peer]:
    """An accepted connection whose other end the test moves byte by byte."""
    raw = place.raw()
    stream = listener.accept(PATIENCE)
    assert stream is not None
    yield Peer(stream, raw)
    stream.close()
    raw.close()
