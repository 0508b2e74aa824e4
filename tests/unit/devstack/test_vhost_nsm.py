"""The NSM of virtual machines: a front end as QEMU is one, with a queue as the guest's driver fills it."""

import mmap
import os
import socket
import struct
import threading
from pathlib import Path

import cbor2
import pytest

from devstack.machines.vhost_nsm import Front, VhostNsm
from devstack.nsm import SoftwareNsm

PATIENCE = 10.0
USER = 0x7F00_0000_0000
GUEST = 0x1_0000
SIZE = 0x1_0000
TABLE, AVAILABLE, USED, REQUEST, RESPONSE = 0x0, 0x1000, 0x2000, 0x3000, 0x4000


class Guest:
    """Shared memory with one queue of eight, and both event descriptors."""

    def __init__(self, front: socket.socket) -> None:
        self._front = front
        self.descriptor = os.memfd_create("guest")
        os.ftruncate(self.descriptor, SIZE)
        self.memory = mmap.mmap(self.descriptor, SIZE)
        self.kick, self.call = os.eventfd(0), os.eventfd(0)
        self._queued = 0

    def tell(self, request: Front, body: bytes = b"", *descriptors: int) -> None:
        """Send a message."""
        socket.send_fds(self._front, [struct.pack("<III", request, 1, len(body)) + body], list(descriptors))

    def ask(self, request: Front) -> bytes:
        """Send a message and take its reply."""
        self.tell(request)
        kind, _, size = struct.unpack("<III", self._front.recv(12, socket.MSG_WAITALL))
        assert kind == request
        return self._front.recv(size, socket.MSG_WAITALL)

    def start(self) -> None:
        """What QEMU says before the guest's driver runs."""
        assert int.from_bytes(self.ask(Front.GET_FEATURES), "little") & 1 << 32
        self.tell(Front.SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, GUEST, SIZE, USER, 0), self.descriptor)
        self.tell(Front.SET_VRING_NUM, struct.pack("<II", 0, 8))
        self.tell(Front.SET_VRING_BASE, struct.pack("<II", 0, 0))
        places = (USER + TABLE, USER + USED, USER + AVAILABLE)
        self.tell(Front.SET_VRING_ADDR, struct.pack("<IIQQQQ", 0, 0, *places, 0))
        self.tell(Front.SET_VRING_CALL, struct.pack("<Q", 0), self.call)
        os.eventfd_read(self.call)  # an interrupt from before there was anything to signal is not lost
        self.tell(Front.SET_VRING_KICK, struct.pack("<Q", 0), self.kick)

    def request(self, value: object, room: int = 0x3000) -> object:
        """What `nsm.ko` does for one ioctl: two chains, a kick, and the wait for both to come back."""
        data = cbor2.dumps(value)
        self.memory[REQUEST : REQUEST + len(data)] = data
        for head, address, size, flags in ((0, REQUEST, len(data), 0), (1, RESPONSE, room, 2)):
            struct.pack_into("<QIHH", self.memory, TABLE + 16 * head, GUEST + address, size, flags, 0)
            struct.pack_into("<H", self.memory, AVAILABLE + 4 + 2 * (self._queued % 8), head)
            self._queued += 1
        struct.pack_into("<H", self.memory, AVAILABLE + 2, self._queued)
        os.eventfd_write(self.kick, 1)
        os.eventfd_read(self.call)
        assert struct.unpack_from("<H", self.memory, USED + 2) == (self._queued,)
        head, size = struct.unpack_from("<II", self.memory, USED + 4 + 8 * ((self._queued - 1) % 8))
        assert head == 1
        return cbor2.loads(self.memory[RESPONSE : RESPONSE + size])


@pytest.mark.timeout(60)
def test_a_guest_reads_its_registers_and_gets_a_document(tmp_path: Path) -> None:
    """As many requests as wrap the queue around, and the document holds what was measured."""
    back, front = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    nsm = SoftwareNsm.load(tmp_path, {0: b"\7" * 48})
    served = threading.Thread(target=VhostNsm(back, nsm).serve)
    served.start()
    guest = Guest(front)
    guest.start()
    for _ in range(9):
        found = guest.request({"DescribePCR": {"index": 0}})
        assert found == {"DescribePCR": {"lock": True, "data": b"\7" * 48}}
    reply = guest.request({"Attestation": {"user_data": b"u", "nonce": None, "public_key": None}})
    assert isinstance(reply, dict)
    payload = cbor2.loads(cbor2.loads(reply["Attestation"]["document"])[2])
    assert (payload["pcrs"][0], payload["user_data"]) == (b"\7" * 48, b"u")
    assert guest.ask(Front.GET_VRING_BASE) == struct.pack("<II", 0, 20)
    front.close()
    served.join(PATIENCE)
    assert not served.is_alive()
    back.close()
