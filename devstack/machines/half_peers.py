"""Peers of an enclave that stop in the middle, over a virtual machine's vsock."""

import socket
from typing import Final, Self

from wire.address import Address
from wire.framing import encode_frame

PATIENCE: Final = 30.0
HALF: Final = encode_frame(bytes(64))[:-32]
MAX_GREETING: Final = 32


def half_close(address: Address) -> bool:
    """Send half a frame and end our direction; whether the worker ends the connection."""
    with _connect(address) as sock:
        sock.sendall(HALF)
        sock.shutdown(socket.SHUT_WR)
        try:
            while sock.recv(65_536):  # what it had said before
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True


class Stalled:
    """A peer that sends half a frame and then neither sends nor reads, until it is left."""

    def __init__(self, address: Address) -> None:
        self._socket = _connect(address)
        self._socket.sendall(HALF)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _connect(address: Address) -> socket.socket:
    """A connection to the guest's port, of which no frame has been read."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(address.path or "")
    sock.sendall(f"CONNECT {address.port}\n".encode())
    greeting = b""
    while not greeting.endswith(b"\n") and len(greeting) < MAX_GREETING:
        greeting += sock.recv(1) or b"\n"
    if not greeting.startswith(b"OK "):
        raise ConnectionRefusedError(f"no enclave answers at {address}")
    return sock
