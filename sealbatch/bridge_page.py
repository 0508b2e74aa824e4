"""A page of a bridge, within a stated time and size, whatever it is that answers at its address."""

import socket
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Final

LONGEST: Final = 1 << 20
"""Bytes of a page that are read."""


def read_page(address: str, page: str, seconds: float) -> bytes:
    """What HOST:PORT answers, with any status; `seconds` are the most for all of it, however slowly it drips.

    Raises:
        OSError: nobody answers there in time, or what answers is no web server.
    """
    host, _, port = address.rpartition(":")
    try:
        connection = HTTPConnection(host.strip("[]"), int(port), timeout=seconds)
        connection.connect()
    except (ValueError, HTTPException, OverflowError) as error:
        raise OSError(f"{address} is no HOST:PORT") from error
    connected, late = connection.sock, threading.Event()

    def end() -> None:
        late.set()
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    # The connection's own timeout begins anew with each byte.
    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        connection.request("GET", f"/{page}")
        found = connection.getresponse().read(LONGEST)
    except (HTTPException, OSError) as error:
        if not (late.is_set() or isinstance(error, HTTPException)):
            raise
        raise OSError(f"{address} is no web server, or too slow a one") from error
    finally:
        timer.cancel()
        connection.close()
    if late.is_set():  # what was read may be cut
        raise OSError(f"{address} is too slow")
    return found
