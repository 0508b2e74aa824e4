"""Places to listen and connect at over the transport under test, and raw peers that move byte by byte."""

import itertools
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from wire.address import Address
from wire.stream import Stream

VSOCK = "SEALBATCH_TRANSPORT"
LOOPBACK = 1
"""VMADDR_CID_LOCAL, which Python 3.11 does not name."""
ANY = 0xFFFFFFFF
PATIENCE = 30.0

_ports = itertools.count(6000)


@dataclass(frozen=True)
class Place:
    """Where one listens and where one connects to: the same path, or the same port of two CIDs."""

    listen: Address
    connect: Address

    @classmethod
    def fresh(cls, folder: Path) -> "Place":
        """A place where nobody listens yet: AF_VSOCK where `SEALBATCH_TRANSPORT=vsock` says so, else AF_UNIX."""
        if os.environ.get(VSOCK) == "vsock":
            port = next(_ports)
            return cls(Address(None, ANY, port), Address(None, LOOPBACK, port))
        address = Address.parse(f"unix://{folder}/s")
        return cls(address, address)

    def raw(self) -> socket.socket:
        """A connected socket without any of our code, which blocks."""
        sock = new_socket(self.connect)
        sock.settimeout(PATIENCE)
        address = self.connect
        sock.connect((address.cid, address.port) if address.path is None else address.path)
        return sock


@dataclass
class Peer:
    """A stream of ours and the raw socket at its other end."""

    stream: Stream
    raw: socket.socket


def new_socket(address: Address) -> socket.socket:
    """A socket of the address's family."""
    return socket.socket(socket.AF_VSOCK if address.path is None else socket.AF_UNIX, socket.SOCK_STREAM)
