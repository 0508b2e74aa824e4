"""Gives an enclave the model that it waits for, from a folder of the host's."""

import os
import random
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from wire.address import Address
from wire.errors import MessageError, StreamError, WireError
from wire.model_feed import DATA, MANIFEST, Done, Refused, Want, decode_reply
from wire.stream import Stream, connect

MANIFEST_NAME: Final = "manifest.json"
MAX_MANIFEST: Final = 256 * 1024
PATIENCE: Final = 60.0
"""Seconds that the enclave may take for one reply: it hashes what it got, and nothing else."""
CONNECT: Final = 5.0
PAUSE: Final = 1.0
"""Seconds between two tries, up to twice as many."""

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class FeedError(Exception):
    """The enclave did not get its model; the text says why."""


class FeedRefused(FeedError):  # noqa: N818 - says what happened
    """The enclave refuses the model; no other try would help."""


def feed_model(
    address: Address,
    folder: Path,
    timeout: float,
    progress: Callable[[int], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Give the enclave that waits at `address` the model in `folder`, within `timeout` seconds.

    A lost connection is made again, and the enclave goes on where it was. `progress` is told bytes sent, of all tries.

    Raises:
        FeedRefused: the enclave refuses the model. FeedError: a file cannot be read, or the time was up.
    """
    manifest = _read(folder, MANIFEST_NAME, 0, MAX_MANIFEST + 1)
    if len(manifest) > MAX_MANIFEST:
        raise FeedError(f"{MANIFEST_NAME}: longer than {MAX_MANIFEST} bytes")
    deadline = time.monotonic() + timeout
    last = "nobody waits for a model there"
    while True:
        try:
            with connect(address, CONNECT) as stream:
                _converse(stream, manifest, folder, progress)
                return
        except StreamError as error:
            last = str(error)
        except WireError as error:
            last = type(error).__name__
        if time.monotonic() >= deadline:
            raise FeedError(f"{address}: no model given within {timeout:.0f} s: {last}")
        pause(PAUSE * random.uniform(1.0, 2.0))


def _converse(stream: Stream, manifest: bytes, folder: Path, progress: Callable[[int], None]) -> None:
    stream.send(MANIFEST + manifest, PATIENCE)
    sent = 0
    while True:
        body = stream.receive(PATIENCE)
        if body is None:
            raise MessageError("the enclave ended the connection")
        match decode_reply(body):
            case Want(name, offset, size):
                stream.send(DATA + _chunk(folder, name, offset, size), PATIENCE)
                sent += size
                progress(sent)
            case Refused(reason):
                raise FeedRefused(f"the enclave refuses the model: {reason}")
            case Done():
                return


def _chunk(folder: Path, name: str, offset: int, size: int) -> bytes:
    data = _read(folder, name, offset, size)
    if len(data) != size:
        raise FeedError(f"{name}: shorter than the manifest says")
    return data


def _read(folder: Path, name: str, offset: int, size: int) -> bytes:
    """Bytes of a plain file in the folder; the enclave's word for its name is checked, not believed."""
    if _NAME.fullmatch(name) is None:
        raise FeedError("the enclave asks for a name that no file of a model has")
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FeedError(f"{name}: not a plain file")
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FeedError(f"{folder / name}: {error.strerror}") from None
