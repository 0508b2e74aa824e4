"""What becomes of a chunk, with store and queue that remember the order of what was asked of them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from vsock_bridge.breaker import CircuitBreaker
from vsock_bridge.held import Held, HeldRegistry, Piece
from vsock_bridge.metrics import Metrics
from vsock_bridge.settle import DELAYS, Settler
from wire.ledger import ChunkMessage
from wire.messages import RefusalCode

IMAGE = "ab" * 48


class Outside:
    """Store and queue in one, so that their order shows."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.delays: list[int] = []
        self.fault: Exception | None = None

    def put_answer(self, *_: object) -> None:
        """Note it, or fail."""
        if self.fault is not None:
            raise self.fault
        self.done.append("answer")

    def put_failure(self, _: ChunkMessage, code: str, first: int, count: int) -> None:
        """Note it."""
        self.done.append(f"failure {code}" if count > 1 else f"failure {code} of {first}")

    def put_notice(self, _: ChunkMessage, code: str, image: str, key: str) -> None:
        """Note it."""
        assert (image, key) == (IMAGE, "key")
        self.done.append(f"notice {code}")

    def delete(self, _: Held) -> None:
        """Note it."""
        self.done.append("delete")

    def give_back(self, _: Held, delay: int = 0) -> None:
        """Note it and its delay."""
        self.done.append("back")
        self.delays.append(delay)


class World:
    """A settler whose work is done when `settled` returns."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.outside = Outside()
        self.stopping = threading.Event()
        self.executor = executor
        self.metrics = Metrics()
        self.settler = Settler(
            store=self.outside,  # type: ignore[arg-type]
            queue=self.outside,  # type: ignore[arg-type]
            registry=HeldRegistry(),
            breaker=CircuitBreaker(2.0, 60.0),
            executor=executor,
            question_key="key",
            stopping=self.stopping,
            metrics=self.metrics,
        )

    def settled(self) -> list[str]:
        """What was done, in order."""
        self.executor.shutdown()
        return self.outside.done


@pytest.fixture
def world() -> Iterator[World]:
    """A settler with threads."""
    with ThreadPoolExecutor(2) as executor:
        yield World(executor)


def held(receives: int = 1, count: int = 4) -> Piece:
    """A whole chunk received so many times."""
    chunk = ChunkMessage("a", "a" * 16, 0, 0, 4, bytes(32), 1, None)
    message = Held("id", "receipt", receives, chunk, 0.0, 0.0)
    return HeldRegistry().split(message, [(0, count)])[0]


def test_the_answer_is_stored_before_the_message_is_deleted(world: World) -> None:
    """Deleting comes last."""
    world.settler.answered(held(), b"sealed")
    assert world.settled() == ["answer", "delete"]


def test_a_fault_in_settling_keeps_the_message_and_is_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A bug of ours costs a delay, not a chunk, and none of its words are logged."""
    world.outside.fault = RuntimeError("words that may quote")
    world.settler.answered(held(), b"sealed")
    assert world.settled() == ["back"]
    assert "chunk not settled" in caplog.text
    assert "error=RuntimeError" in caplog.text
    assert "quote" not in caplog.text


def test_an_answer_that_s3_does_not_take_is_counted_and_says_what_to_do(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The call's error code and what it means, none of its text; the chunk is kept."""
    world.outside.fault = ClientError({"Error": {"Code": "AccessDenied", "Message": "may quote"}}, "PutObject")
    world.settler.answered(held(), b"sealed")
    assert world.settled() == ["back"]
    assert world.metrics.registry.get_sample_value("sealbatch_aws_faults_total", {"service": "s3"}) == 1
    assert "error=AccessDenied: given back, it is answered again; the bridge's role may not do this" in caplog.text
    assert "quote" not in caplog.text


@pytest.mark.parametrize(
    ("code", "done"),
    [
        (RefusalCode.MALFORMED, ["failure decrypt_failed", "delete"]),
        (RefusalCode.UNSEAL_FAILED, ["failure decrypt_failed", "delete"]),
        (RefusalCode.KEY_INVALID, ["notice key_invalid", "failure decrypt_failed", "delete"]),
        (RefusalCode.KEY_DENIED, ["notice key_denied", "back"]),
        (RefusalCode.WRONG_IMAGE, ["notice wrong_image", "back"]),
        (RefusalCode.KEY_UNAVAILABLE, ["notice kms_unavailable", "back"]),
        (RefusalCode.BUSY, ["back"]),
        (RefusalCode.INTERNAL, ["back"]),
        (RefusalCode.SHUTTING_DOWN, ["back"]),
    ],
)
def test_each_refusal_has_its_consequence(world: World, code: RefusalCode, done: list[str]) -> None:
    """Permanent ones end the chunk after they are written down; the others give it back."""
    world.settler.refused(held(), code, IMAGE)
    assert world.settled() == done


def test_a_chunk_of_a_lost_enclave_is_given_back_at_once(world: World) -> None:
    """The next enclave may have it now."""
    world.settler.lost(held(), sent=True)
    assert world.settled() == ["back"]
    assert world.outside.delays == [0]


def test_a_chunk_that_came_back_before_waits_when_its_enclave_dies(world: World) -> None:
    """What may be killing enclaves leaves room for other chunks between its attempts."""
    world.settler.lost(held(receives=4), sent=True)
    world.settled()
    assert 8 <= world.outside.delays[0] <= 16


def test_stopping_gives_everything_back_at_once(world: World) -> None:
    """A bridge that is told to stop keeps no chunk from the others."""
    world.stopping.set()
    world.settler.lost(held(receives=4), sent=True)
    world.settled()
    assert world.outside.delays == [0]


def test_delays_have_a_longest(world: World) -> None:
    """However often a message came, it is not hidden for long."""
    world.settler.refused(held(receives=1000), RefusalCode.KEY_DENIED, IMAGE)
    world.settled()
    assert DELAYS.longest / 2 <= world.outside.delays[0] <= DELAYS.longest


def test_a_record_whose_message_came_often_is_not_given_up_for_it(world: World) -> None:
    """Bridges that are killed make messages come again; records lost in company were `enclave_lost` for that."""
    world.settler.lost(held(receives=50, count=1), sent=True)
    assert world.settled() == ["back"]


def test_what_never_reached_its_enclave_was_not_its_death(world: World) -> None:
    """An enclave that was gone, or did not read, says nothing against a record; the next one is tried."""
    piece = held(receives=5, count=1)
    piece.alone = True
    world.settler.lost(piece, sent=False)
    assert (world.settled(), piece.deaths) == (["back"], 0)


@pytest.mark.parametrize("refused", [False, True])
def test_what_an_enclave_ends_of_or_fails_on_is_kept_for_another_trial_if_it_was_alone(
    world: World, refused: bool
) -> None:
    """The death is noted, and nothing done yet."""
    piece = held(receives=5, count=1)
    piece.alone = True
    if refused:
        world.settler.refused(piece, RefusalCode.INTERNAL, IMAGE)
    else:
        world.settler.lost(piece, sent=True)
    assert (world.settled(), piece.deaths) == ([], 1)


def test_a_record_that_is_given_up_gets_the_bridges_word(world: World) -> None:
    """Its message goes when it was the last of it."""
    world.settler.give_up(held(receives=5, count=1))
    assert world.settled() == ["failure enclave_lost of 0", "delete"]


def test_the_bridge_that_stops_counts_no_death(world: World) -> None:
    """It ends the connections itself."""
    piece = held(receives=5, count=1)
    piece.alone = True
    world.stopping.set()
    world.settler.lost(piece, sent=True)
    assert (world.settled(), piece.deaths) == (["back"], 0)


def test_the_message_goes_with_its_last_piece(world: World) -> None:
    """Pieces are stored one by one; the message stays until none is open."""
    message = held().held
    pieces = world.settler._registry.split(message, [(0, 2), (2, 2)])
    world.settler.answered(pieces[0], b"one")
    world.settler.answered(pieces[1], b"two")
    done = world.settled()
    assert sorted(done) == ["answer", "answer", "delete"]
    assert done[-1] == "delete"
