"""/dev/nsm for a virtual machine: a vhost-user device whose other side is our software NSM.

The guest's own `nsm.ko` talks virtio (device 33, one queue) to it. Messages and memory layout are those of QEMU's
`docs/interop/vhost-user.rst` and of the split queue in the virtio specification. `nsm.ko` queues a request and the
buffer for its response as two chains, one after the other.
"""

import array
import contextlib
import mmap
import os
import selectors
import socket
import struct
import sys
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final

from devstack.nsm import SoftwareNsm
from devstack.nsm_device import respond
from sealbatch.image.eif import read_image

FEATURES: Final = 1 << 32 | 1 << 30
"""VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES."""
REPLY: Final = 0x5
NEED_REPLY: Final = 0x8
MAX_FDS: Final = 8
NEXT_IS_WRITABLE: Final = 2
INDIRECT: Final = 4

_HEADER: Final = struct.Struct("<III")
_DESCRIPTOR: Final = struct.Struct("<QIHH")


class Front(IntEnum):
    """Requests of the front end that are answered or remembered; all others are acknowledged at most."""

    GET_FEATURES = 1
    SET_MEM_TABLE = 5
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    GET_PROTOCOL_FEATURES = 15
    GET_QUEUE_NUM = 17


@dataclass(frozen=True, slots=True)
class _Region:
    guest: int
    size: int
    user: int
    offset: int
    memory: mmap.mmap


@dataclass(slots=True)
class _Chain:
    head: int
    address: int
    size: int
    writable: bool


@dataclass(slots=True)
class VhostNsm:
    """One connection of a front end, which is a virtual machine from its start to its end."""

    front: socket.socket
    nsm: SoftwareNsm
    regions: list[_Region] = field(default_factory=list)
    ring: dict[str, int] = field(default_factory=lambda: {"size": 0, "next": 0, "kick": -1, "call": -1})
    pending: list[_Chain] = field(default_factory=list)

    def serve(self) -> None:
        """Answer until the front end goes."""
        with selectors.DefaultSelector() as ready:
            ready.register(self.front, selectors.EVENT_READ)
            watched = -1
            while True:
                for key, _ in ready.select():
                    if key.fileobj is self.front:
                        if not self._control():
                            return
                    else:
                        os.read(watched, 8)
                        self._work()
                if self.ring["kick"] != watched:
                    if watched >= 0:
                        ready.unregister(watched)
                    watched = self.ring["kick"]
                    if watched >= 0:
                        ready.register(watched, selectors.EVENT_READ)

    def _control(self) -> bool:
        """Take one message; False at the end."""
        data, descriptors = self._exactly(_HEADER.size)
        if not data:
            return False
        request, flags, size = _HEADER.unpack(data)
        body, more = self._exactly(size)
        answer = self._handle(request, body, descriptors + more)
        if answer is None and flags & NEED_REPLY:
            answer = bytes(8)
        if answer is not None:
            self.front.sendall(_HEADER.pack(request, REPLY, len(answer)) + answer)
        return True

    def _exactly(self, size: int) -> tuple[bytes, list[int]]:
        data, descriptors = b"", array.array("i")
        while len(data) < size:
            part, ancillary, _, _ = self.front.recvmsg(size - len(data), socket.CMSG_SPACE(MAX_FDS * 4))
            if not part:
                return b"", []
            data += part
            for _level, _kind, fds in ancillary:
                descriptors.frombytes(fds[: len(fds) - len(fds) % descriptors.itemsize])
        return data, list(descriptors)

    def _handle(self, request: int, body: bytes, descriptors: list[int]) -> bytes | None:  # noqa: C901 - a table
        match request:
            case Front.GET_FEATURES:
                return FEATURES.to_bytes(8, "little")
            case Front.GET_PROTOCOL_FEATURES:
                return bytes(8)
            case Front.GET_QUEUE_NUM:
                return (1).to_bytes(8, "little")
            case Front.SET_MEM_TABLE:
                self._map(body, descriptors)
            case Front.SET_VRING_NUM:
                self.ring["size"] = struct.unpack("<II", body)[1]
            case Front.SET_VRING_ADDR:
                _, _, self.ring["table"], self.ring["used"], self.ring["available"], _ = struct.unpack("<IIQQQQ", body)
            case Front.SET_VRING_BASE:
                self.ring["next"] = struct.unpack("<II", body)[1]
            case Front.GET_VRING_BASE:
                self.ring["kick"] = -1
                return struct.pack("<II", 0, self.ring["next"])
            case Front.SET_VRING_KICK:
                self.ring["kick"] = descriptors[0] if descriptors else -1
            case Front.SET_VRING_CALL:
                self.ring["call"] = descriptors[0] if descriptors else -1
                if descriptors:
                    self._interrupt()  # one that was due while there was nothing to signal would be lost
            case _:
                pass
        return None

    def _map(self, body: bytes, descriptors: list[int]) -> None:
        self.regions.clear()
        for number, descriptor in enumerate(descriptors):
            guest, size, user, offset = struct.unpack_from("<QQQQ", body, 8 + 32 * number)
            self.regions.append(_Region(guest, size, user, offset, mmap.mmap(descriptor, size + offset)))
            os.close(descriptor)

    def _work(self) -> None:
        """Take what the guest has queued, and answer each request that has its buffer."""
        end = self._short(self.ring["available"] + 2)
        while self.ring["next"] != end:
            place = self.ring["available"] + 4 + 2 * (self.ring["next"] % self.ring["size"])
            self.pending.append(self._chain(self._short(place)))
            self.ring["next"] = (self.ring["next"] + 1) & 0xFFFF
        while len(self.pending) >= 2 and not self.pending[0].writable and self.pending[1].writable:
            request, response = self.pending[:2]
            del self.pending[:2]
            answer = respond(self.nsm, self._guest(request.address, request.size))[: response.size]
            region, offset = self._find(response.address, user=False)
            region.memory[offset : offset + len(answer)] = answer
            self._used(request.head, 0)
            self._used(response.head, len(answer))
            self._interrupt()

    def _chain(self, head: int) -> _Chain:
        region, offset = self._find(self.ring["table"] + _DESCRIPTOR.size * head, user=True)
        address, size, flags, _ = _DESCRIPTOR.unpack_from(region.memory, offset)
        if flags & INDIRECT:
            address, size, flags, _ = _DESCRIPTOR.unpack(self._guest(address, _DESCRIPTOR.size))
        return _Chain(head, address, size, bool(flags & NEXT_IS_WRITABLE))

    def _used(self, head: int, size: int) -> None:
        index = self._short(self.ring["used"] + 2)
        region, offset = self._find(self.ring["used"], user=True)
        struct.pack_into("<II", region.memory, offset + 4 + 8 * (index % self.ring["size"]), head, size)
        struct.pack_into("<H", region.memory, offset + 2, (index + 1) & 0xFFFF)

    def _interrupt(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self.ring["call"], (1).to_bytes(8, "little"))

    def _short(self, address: int) -> int:
        region, offset = self._find(address, user=True)
        return int.from_bytes(region.memory[offset : offset + 2], "little")

    def _guest(self, address: int, size: int) -> bytes:
        region, offset = self._find(address, user=False)
        return region.memory[offset : offset + size]

    def _find(self, address: int, *, user: bool) -> tuple[_Region, int]:
        for region in self.regions:
            start = region.user if user else region.guest
            if start <= address < start + region.size:
                return region, address - start + region.offset
        raise ValueError("an address outside the guest's memory")


def main() -> None:
    """SOCKET IMAGE DEVELOPMENT-FOLDER: measure the image as the hypervisor would, and be its NSM for one boot."""
    path, image, folder = map(Path, sys.argv[1:])
    with image.open("rb") as file:
        nsm = SoftwareNsm.load(folder, read_image(file).pcrs)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        front, _ = listener.accept()
        VhostNsm(front, nsm).serve()


if __name__ == "__main__":
    main()
