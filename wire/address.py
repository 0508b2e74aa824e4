"""Where an enclave is reached, and what a connection there begins with."""

import re
from dataclasses import dataclass
from typing import Final

PORT: Final = 5005
"""Where a worker listens in its enclave."""
MAX_UNIX_PATH: Final = 107
"""Bytes of a unix socket's path: sun_path of 108 with its final zero."""

_VSOCK: Final = re.compile(r"vsock://([0-9]{1,10}):([0-9]{1,10})")
_HYBRID: Final = re.compile(r"hvsock://(/.+):([0-9]{1,10})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """`vsock://CID:PORT`, `unix:///PATH`, or `hvsock:///PATH:PORT`.

    The last is a port of a virtual machine whose monitor offers vsock as a unix socket on its host, as Firecracker,
    Cloud Hypervisor and vhost-device-vsock do: one connects to the socket and names the port first.
    """

    path: str | None
    cid: int = 0
    port: int | None = None
    """None for a plain unix socket."""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address that `text` names.

        Raises:
            ValueError: it is none of the three forms, or a number or path is out of range.
        """
        if text.startswith("unix:///"):
            return cls(_path(text.removeprefix("unix://")))
        match = _VSOCK.fullmatch(text)
        if match is not None:
            cid = int(match[1])
            # 0xFFFFFFFF is VMADDR_CID_ANY and VMADDR_PORT_ANY.
            if cid > 0xFFFFFFFF:
                raise ValueError("CID and port are 32-bit numbers")
            return cls(None, cid, _port(match[2]))
        match = _HYBRID.fullmatch(text)
        if match is not None:
            return cls(_path(match[1]), 0, _port(match[2]))
        raise ValueError("an enclave's address is vsock://CID:PORT, unix:///PATH or hvsock:///PATH:PORT")

    def __str__(self) -> str:
        if self.path is None:
            return f"vsock://{self.cid}:{self.port}"
        return f"unix://{self.path}" if self.port is None else f"hvsock://{self.path}:{self.port}"

    @property
    def hybrid(self) -> bool:
        """Whether the port is named after connecting."""
        return self.path is not None and self.port is not None


def _path(path: str) -> str:
    if len(path.encode()) > MAX_UNIX_PATH:
        raise ValueError(f"a unix socket's path has at most {MAX_UNIX_PATH} bytes, this one {len(path.encode())}")
    return path


def _port(text: str) -> int:
    if int(text) >= 0xFFFFFFFF:
        raise ValueError("CID and port are 32-bit numbers")
    return int(text)
