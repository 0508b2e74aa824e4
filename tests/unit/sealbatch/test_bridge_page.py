"""A page of a bridge, or of what answers in its place."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from sealbatch.bridge_page import LONGEST, read_page

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(begin: bytes, drip: bytes = b"") -> Iterator[str]:
    """Whoever answers with these bytes, and then with `drip` again and again; its address."""
    over = threading.Event()

    def answer() -> None:
        with suppress(OSError), listener.accept()[0] as client:
            client.recv(65536)
            client.sendall(begin)
            while drip and not over.wait(0.02):
                client.sendall(drip)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def test_a_page_is_read_whatever_its_status() -> None:
    """A bridge that is not well answers 503; of a page that never ends, no more than a part is read."""
    with answering(b"HTTP/1.1 503 -\r\nContent-Length: 5\r\n\r\nworse") as address:
        assert read_page(address, "healthz", 60) == b"worse"
    with answering(b"HTTP/1.1 200 -\r\n\r\n" + b"x" * LONGEST, b"x") as address:
        assert len(read_page(address, "metrics", 60)) == LONGEST


@pytest.mark.parametrize("begin", [b"", OK, OK + b"\r\n", OK + b"Content-Length: 99999\r\n\r\n"])
def test_what_drips_holds_nobody_up(begin: bytes) -> None:
    """Each byte began the time anew: a bundle waited for as long as somebody liked."""
    with answering(begin, b"x") as address, pytest.raises(OSError, match="too slow"):
        read_page(address, "metrics", 0.2)


@pytest.mark.parametrize("address", ["", "here", "here:", "here:x", "127.0.0.1:99999", "[::1:1", "127.0.0.1:1"])
def test_what_is_no_address_is_told_as_one_where_nobody_answers(address: str) -> None:
    """Whoever asks tells it by one error."""
    with pytest.raises(OSError, match=r"."):
        read_page(address, "metrics", 60)
