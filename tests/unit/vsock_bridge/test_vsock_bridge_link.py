"""One connection to an enclave over a real socket, under a clock that the test turns."""

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_enclave import IMAGE, FakeEnclave
from waiting import wait_until

from vsock_bridge.held import Held, Piece
from vsock_bridge.link import MAX_UNWRAPS, Link
from wire import messages
from wire.address import Address
from wire.errors import WireError
from wire.ledger import ChunkMessage
from wire.messages import (
    MAX_SEALED,
    VERSION,
    Answer,
    Progress,
    Ready,
    Refusal,
    RefusalCode,
    Unwrap,
    UnwrapCode,
    UnwrapRefused,
    Work,
    encode,
)
from wire.report import Report
from wire.stream import Stream, listen

KEY = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000a"


class Events:
    """Remembers what the link told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def answered(self, piece: Piece, sealed: bytes) -> None:
        """Note it."""
        self.told.append((sealed.decode(), piece.held.message_id))

    def refused(self, piece: Piece, code: RefusalCode, image: str) -> None:
        """Note it."""
        assert image == IMAGE
        self.told.append((str(code), piece.held.message_id))

    def progressed(self, piece: Piece) -> None:
        """Note it."""
        self.told.append(("progressed", piece.held.message_id))

    def lost(self, piece: Piece, *, sent: bool) -> None:
        """Note it."""
        self.told.append(("lost" if sent else "lost unsent", piece.held.message_id))


class SlowExecutor(Executor):
    """Keeps what is submitted until the test runs it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any]] = []
        self.submitted = 0
        self.most = 0

    def submit(self, function: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
        """Keep it."""
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: function(*arguments)))
        self.submitted += 1
        self.most = max(self.most, len(self.waiting))
        return future

    def has(self, count: int) -> bool:
        """Whether so many were submitted."""
        return self.submitted >= count

    def run_one(self) -> None:
        """Run the oldest."""
        future, work = self.waiting.pop(0)
        future.set_result(work())


class World:
    """A served link to a fake enclave that answers nothing by itself."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.events = Events()
        self.executor = SlowExecutor()
        self.enclave = FakeEnclave(Address.parse(f"unix://{folder}/e.sock"), behave=lambda _: None)
        self.link = Link(self.enclave.address, self.events, self._refuse, self.executor, lambda: self.now)
        self.thread = threading.Thread(target=self.link.serve)
        self.thread.start()

    def stop(self) -> None:
        """End both sides."""
        self.link.close()
        self.thread.join(10)
        self.enclave.stop()

    @staticmethod
    def _refuse(request: Unwrap) -> UnwrapRefused:
        return UnwrapRefused(request.request, UnwrapCode.DENIED)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A connection."""
    world = World(tmp_path)
    yield world
    world.stop()


def held(name: str) -> Piece:
    """A chunk."""
    message = Held(name, "receipt", 1, ChunkMessage("a", "a" * 16, 0, 0, 1, bytes(32), 1, None), 0.0, 0.0)
    return Piece(message, 0, 1)


def test_the_window_is_kept_in_chunks_and_in_bytes(world: World) -> None:
    """What does not fit is not sent, and a refusal makes room again."""
    assert world.link.send(held("one"), bytes(MAX_SEALED))
    assert not world.link.send(held("too many bytes"), b"x")
    wait_until(lambda: bool(world.enclave.seen), what="the work")
    world.enclave.say(Refusal(1, RefusalCode.BUSY))
    wait_until(lambda: ("busy", "one") in world.events.told, what="the refusal")
    assert world.link.send(held("two"), b"x")
    assert world.link.send(held("three"), b"x")
    assert world.link.room() == 0
    assert not world.link.send(held("too many chunks"), b"x")


def test_an_enclave_hangs_when_nothing_comes_though_it_has_work(world: World) -> None:
    """Idle silence is no hanging; progress ends it."""
    world.now = 1000.0
    assert not world.link.hung(300.0)
    assert world.link.send(held("one"), b"x")
    world.now = 1300.0
    assert not world.link.hung(300.0)
    world.now = 1301.0
    assert world.link.hung(300.0)
    world.enclave.say(Progress(1))
    wait_until(lambda: world.events.told == [("progressed", "one")], what="the progress")
    assert not world.link.hung(300.0)


def test_reports_do_not_keep_a_hung_enclave(world: World) -> None:
    """They come by the clock from an enclave whose work stands still too."""
    assert world.link.send(held("one"), b"x")
    world.now = 301.0
    report = Report(ready=True, tokens=0, occupancy=8, sequences=1, waiting=0, restarts=0, memory=2)
    world.enclave.say(report)
    wait_until(lambda: world.link.report == report, what="the report")
    assert world.link.hung(300.0)


def test_what_an_ended_connection_had_is_lost_once(world: World) -> None:
    """Each outstanding chunk is reported, and nothing more can be sent."""
    assert world.link.send(held("one"), b"x")
    wait_until(lambda: bool(world.enclave.seen), what="the work")
    world.enclave.hang_up()
    world.thread.join(10)
    assert world.events.told == [("lost", "one")]
    assert not world.link.send(held("two"), b"x")
    assert world.link.room() == 0
    assert not [thread for thread in threading.enumerate() if str(world.enclave.address) in thread.name]


def test_a_chunk_waits_no_longer_once_an_enclave_has_it(world: World) -> None:
    """The heartbeat then looks at this chunk's own progress."""
    chunk = held("one")
    assert world.link.send(chunk, b"x")
    assert not chunk.held.waiting


def test_a_piece_on_trial_has_the_enclave_for_itself(world: World) -> None:
    """What else runs there could be what ends it: the piece is sent when all other work of the bridge is done."""
    trial = held("trial")
    trial.alone = True
    assert world.link.send(held("one"), b"x")
    assert not world.link.send(trial, b"x")
    wait_until(lambda: bool(world.enclave.seen), what="the work")
    world.enclave.say(Refusal(1, RefusalCode.BUSY))
    wait_until(lambda: ("busy", "one") in world.events.told, what="the refusal")
    assert world.link.send(trial, b"x")


def test_unwraps_under_way_are_bounded(world: World) -> None:
    """An enclave that asks without end is no longer read until a reply is out."""
    asked = 3 * MAX_UNWRAPS

    def ask() -> None:
        for request in range(asked):
            world.enclave.say(Unwrap(request, KEY, (), b"wrapped", b"document"))

    # What is not read fills the socket, so the one who asks must not be the one who lets the replies go.
    asking = threading.Thread(target=ask)
    asking.start()
    for done in range(asked):
        due = min(asked, done + MAX_UNWRAPS)
        wait_until(partial(world.executor.has, due), what="the next unwraps")
        world.executor.run_one()
    wait_until(lambda: len(world.enclave.replies) == asked, what="all replies")
    asking.join()
    assert world.executor.most == MAX_UNWRAPS
    assert world.enclave.replies == [UnwrapRefused(request, UnwrapCode.DENIED) for request in range(asked)]


def test_a_link_ends_though_its_enclave_asks_for_more_keys_than_it_may(world: World) -> None:
    """It waits for an unwrap to be done then, and one that is done after the end counts too."""
    for request in range(MAX_UNWRAPS + 1):
        world.enclave.say(Unwrap(request, KEY, (), b"wrapped", b"document"))
    wait_until(partial(world.executor.has, MAX_UNWRAPS), what="the unwraps")
    world.link.close()
    world.executor.run_one()
    world.thread.join(10)
    assert not world.thread.is_alive()


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[tuple[Address, list[Stream]]]:
    """An enclave that asks for a key and reads nothing, whatever it is sent; the test may speak for it."""
    address = Address.parse(f"unix://{tmp_path}/deaf.sock")
    listener = listen(address)
    streams: list[Stream] = []

    def serve() -> None:
        while (stream := listener.accept(10.0)) is None:
            pass
        streams.append(stream)
        stream.send(encode(Ready(VERSION, IMAGE, bytes(32), 8, 4 * MAX_SEALED)))
        stream.send(encode(Unwrap(1, KEY, (), b"wrapped", b"document")))

    thread = threading.Thread(target=serve)
    thread.start()
    yield address, streams
    thread.join()
    streams[0].close()
    listener.close()


def test_an_enclave_that_does_not_read_holds_up_no_other(world: World, deaf: tuple[Address, list[Stream]]) -> None:
    """The bridge's loop, and with it every enclave, once stood still for a minute: until the send had failed."""
    link = Link(deaf[0], world.events, world._refuse, world.executor)
    serving = threading.Thread(target=link.serve)
    serving.start()
    wait_until(lambda: world.executor.has(1), what="the deaf enclave's question")
    assert link.send(held("begun"), bytes(MAX_SEALED))
    assert link.send(held("queued"), b"x")
    world.executor.run_one()  # the couriers serve all enclaves: the reply must not keep this thread
    assert world.link.send(held("of another"), b"x")
    wait_until(lambda: bool(world.enclave.seen), what="the other enclave's work")
    assert world.events.told == []
    link.close()
    serving.join(10)
    assert world.events.told == [("lost unsent", "begun"), ("lost unsent", "queued")]


def test_an_enclave_that_answers_what_it_was_not_sent_makes_no_room(
    world: World, deaf: tuple[Address, list[Stream]]
) -> None:
    """What it was not sent still lay in the queue: with an answer for each and nothing read, that grew without end."""
    address, streams = deaf
    link = Link(address, world.events, world._refuse, world.executor)
    serving = threading.Thread(target=link.serve)
    serving.start()
    assert link.send(held("begun"), bytes(MAX_SEALED))
    assert link.send(held("queued"), b"x")
    streams[0].send(encode(Answer(2, b"of nothing")))
    serving.join(10)
    assert not serving.is_alive()
    assert world.events.told == [("lost unsent", "begun"), ("lost unsent", "queued")]
    assert link.room() == 0


def test_what_cannot_be_written_is_lost_and_said(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault on the thread that writes was passed over in silence, and the piece was outstanding for ever."""

    def broken(_: object) -> bytes:
        raise MemoryError("with content")

    monkeypatch.setattr(messages, "encode", broken)
    assert world.link.send(held("one"), b"x")
    world.thread.join(10)
    assert not world.thread.is_alive()
    assert world.events.told == [("lost unsent", "one")]
    assert [record.getMessage() for record in caplog.records if "error=MemoryError" in record.getMessage()]
    assert "content" not in caplog.text


def test_a_message_of_the_wrong_side_ends_the_connection(world: World) -> None:
    """An enclave does not send Work."""
    world.enclave.say(Work(1, 0, 1, b"x"))
    world.thread.join(10)
    assert not world.thread.is_alive()


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    """The pool tries again later."""
    with pytest.raises(WireError):
        Link(Address.parse(f"unix://{tmp_path}/none"), Events(), World._refuse, SlowExecutor())
