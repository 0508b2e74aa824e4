"""The bridge's links and the enclave's server with the transport under test between them."""

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from enclave_parent import RunningEnclave
from places import PATIENCE, Place
from question_factory import IMAGE, Keys, record
from waiting import wait_until

import vsock_bridge.pool
import wire.stream
from devstack.cms import envelop
from vsock_bridge.backoff import Backoff
from vsock_bridge.held import Held, Piece
from vsock_bridge.link import Link
from vsock_bridge.pool import Pool
from wire import messages
from wire.address import Address
from wire.framing import encode_frame
from wire.ledger import ChunkMessage
from wire.messages import Ready, RefusalCode, Unwrap, Unwrapped
from wire.stream import Listener

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "How many weeks of leave?"


class Bridge:
    """A pool over one place, KMS for one keyset, and a note of what became of each piece."""

    def __init__(self, place: Place) -> None:
        self.keys = Keys()
        self.answered_by: dict[int, bytes] = {}
        self.lost_pieces: list[int] = []
        self.progressed_pieces: set[int] = set()
        self._couriers = ThreadPoolExecutor(2)
        self.pool = Pool([place.connect], self.link)

    def link(self, address: Address) -> Link:
        """A connection of this bridge."""
        return Link(address, self, self._unwrap, self._couriers)

    def send(self, *numbers: int) -> None:
        """Hand over one question each."""
        for number in numbers:
            message = Held(f"{number}", "r", 1, ChunkMessage("a", "a" * 16, 2, number, 1, bytes(32), 1, None), 0.0, 0.0)
            sealed = self.keys.seal([record(number, QUESTION)])
            assert self.pool.send(Piece(message, number, 1), sealed)

    def texts(self) -> dict[int, str]:
        """What the answers say."""
        opened = {number: self.keys.open(sealed)[1] for number, sealed in self.answered_by.items()}
        return {number: payload.results[0].text for number, payload in opened.items()}

    def answered(self, piece: Piece, sealed: bytes) -> None:
        """See `LinkEvents`."""
        assert piece.first not in self.answered_by
        self.answered_by[piece.first] = sealed

    def refused(self, piece: Piece, code: RefusalCode, image: str) -> None:
        """See `LinkEvents`."""
        raise AssertionError(f"{piece.first} refused: {code} by {image}")

    def progressed(self, piece: Piece) -> None:
        """See `LinkEvents`."""
        self.progressed_pieces.add(piece.first)

    def lost(self, piece: Piece, *, sent: bool) -> None:
        """See `LinkEvents`."""
        assert sent
        self.lost_pieces.append(piece.first)

    def stop(self) -> None:
        """End."""
        self.pool.stop()
        self._couriers.shutdown()

    def _unwrap(self, request: Unwrap) -> Unwrapped:
        public = load_der_public_key(request.document)
        return Unwrapped(request.request, envelop(self.keys.question_key, public))  # type: ignore[arg-type]


@pytest.fixture
def bridge(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    """A bridge that looks for a lost enclave without long pauses."""
    monkeypatch.setattr(vsock_bridge.pool, "RECONNECT", Backoff(0.05, 0.2))
    made = Bridge(place)
    yield made
    made.stop()


def start_enclave(place: Place, *, endless: bool) -> subprocess.Popen[bytes]:
    """An enclave in a process of its own."""
    path = os.pathsep.join([str(ROOT / "tests" / "helpers"), str(ROOT)])
    program = str(Path(__file__).with_name("enclave_program.py"))
    arguments = [sys.executable, program, str(place.listen), "endless" if endless else "once"]
    return subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": path})


def test_an_enclave_that_reboots_in_the_middle_costs_no_answer(place: Place, bridge: Bridge) -> None:
    """Killed while it generates: each piece is reported lost once, the next enclave there is found, and it answers."""
    first = start_enclave(place, endless=True)
    bridge.pool.start()
    assert bridge.pool.wait_ready(PATIENCE)
    bridge.send(0, 1, 2)
    wait_until(lambda: len(bridge.progressed_pieces) == 3, PATIENCE, "generation")
    first.kill()
    first.wait()
    wait_until(lambda: sorted(bridge.lost_pieces) == [0, 1, 2], PATIENCE, "the loss")
    second = start_enclave(place, endless=False)
    try:
        assert bridge.pool.wait_ready(PATIENCE)
        bridge.send(0, 1, 2)
        wait_until(lambda: len(bridge.answered_by) == 3, PATIENCE, "the answers")
    finally:
        second.terminate()
        assert second.wait(PATIENCE) == 0
    assert bridge.texts() == dict.fromkeys(range(3), QUESTION[::-1])
    assert sorted(bridge.lost_pieces) == [0, 1, 2]


def test_an_enclave_that_half_closes_has_ended(place: Place, listener: Listener, bridge: Bridge) -> None:
    """Nothing more can come from it, so what it had is lost, once, and the bridge connects again."""
    bridge.pool.start()
    for _ in range(2):
        enclave = listener.accept(PATIENCE)
        assert enclave is not None
        enclave.send(messages.encode(Ready(messages.VERSION, IMAGE, bytes(32), 4, messages.MAX_SEALED)))
        assert bridge.pool.wait_ready(PATIENCE)
        already = len(bridge.lost_pieces)
        bridge.send(already)
        assert enclave.receive(PATIENCE) is not None
        enclave._socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: not bridge.pool.connected, PATIENCE, "the end")
        assert enclave.receive(PATIENCE) is None
        enclave.close()
    assert bridge.lost_pieces == [0, 1]
    listener.close()


def test_an_enclave_outlives_bridges_that_half_close_and_reset(tmp_path: Path, place: Place, bridge: Bridge) -> None:
    """Each costs its own connection: a later bridge gets its answer."""
    with RunningEnclave(tmp_path, place=place, max_connections=2):
        for ending in (b"", encode_frame(b"no message"), encode_frame(b"0123456789")[:7]):
            raw = place.raw()
            raw.sendall(ending)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65_536):
                pass
            raw.close()
        for _ in range(5):
            raw = place.raw()
            raw.sendall(encode_frame(b"0123456789")[:7])
            raw.close()  # with what the enclave said unread: a reset
        bridge.pool.start()
        assert bridge.pool.wait_ready(PATIENCE)
        bridge.send(0)
        wait_until(lambda: len(bridge.answered_by) == 1, PATIENCE, "the answer")
    assert bridge.texts() == {0: QUESTION[::-1]}


def test_connects_that_time_out_are_tried_again(
    tmp_path: Path, place: Place, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ETIMEDOUT is what a vsock port without a listener ends in on some systems: the enclave is not up yet."""
    attempts: list[int] = []

    class Booting(socket.socket):
        def connect(self, address: object) -> None:
            attempts.append(threading.get_ident())
            if len(attempts) < 3:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            super().connect(address)  # type: ignore[arg-type]

    with RunningEnclave(tmp_path, place=place):
        monkeypatch.setattr(wire.stream.socket, "socket", Booting)
        bridge.pool.start()
        assert bridge.pool.wait_ready(PATIENCE)
        bridge.send(0)
        wait_until(lambda: len(bridge.answered_by) == 1, PATIENCE, "the answer")
        assert len(attempts) == 3
