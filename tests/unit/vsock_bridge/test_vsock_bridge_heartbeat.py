"""Heartbeat and circuit breaker under a clock that the test turns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsock_bridge.breaker import CircuitBreaker
from vsock_bridge.heartbeat import Heartbeat
from vsock_bridge.held import Held, HeldRegistry
from vsock_bridge.settings import BridgeSettings
from wire.address import Address
from wire.ledger import ChunkMessage

SETTINGS = BridgeSettings("url", "bucket", "key", (Address("/x"),), visibility=120, stall=300.0)


@dataclass
class Clock:
    """Seconds that stand still until they are told."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass
class Queue:
    """Remembers what was extended."""

    extended: list[str] = field(default_factory=list)

    def extend(self, messages: Sequence[Held]) -> None:
        """Note the ids."""
        self.extended += [held.message_id for held in messages]


class World:
    """A heartbeat over a registry with one held message."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.registry = HeldRegistry(self.clock)
        self.queue = Queue()
        self.heartbeat = Heartbeat(self.queue, self.registry, SETTINGS, lambda _: None)  # type: ignore[arg-type]
        chunk = ChunkMessage("a", "a" * 16, 0, 0, 1, bytes(32), 1, None)
        self.held = Held("one", "receipt", 1, chunk, 0.0, 0.0)
        self.registry.add(self.held)


def test_a_chunk_that_makes_progress_is_kept_for_hours() -> None:
    """Progress within the stall time keeps the message invisible, beat after beat."""
    world = World()
    for beat in range(100):
        world.clock.now = 40.0 * beat
        world.registry.touch(world.held)
        world.heartbeat.beat()
    assert len(world.queue.extended) == 100


def test_a_chunk_whose_enclave_hangs_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    """Without progress it is no longer extended, and that is said once."""
    world = World()
    for beat in range(20):
        world.clock.now = 40.0 * beat
        world.heartbeat.beat()
    assert len(world.queue.extended) == 8
    assert caplog.text.count("chunk no longer kept") == 1
    assert "reason=stall" in caplog.text


def test_a_chunk_that_wakes_up_is_kept_again() -> None:
    """An enclave that was only slow goes on with what it has."""
    world = World()
    world.clock.now = 400.0
    world.heartbeat.beat()
    world.registry.touch(world.held)
    world.heartbeat.beat()
    assert world.queue.extended == ["one"]


def test_a_chunk_that_waits_its_turn_is_kept_while_an_enclave_works() -> None:
    """Another chunk's progress keeps it, until an enclave has it itself."""
    world = World()
    chunk = world.held.chunk
    working = Held("two", "receipt", 1, chunk, 0.0, 0.0, waiting=False)
    world.clock.now = 1000.0
    world.registry.touch(working)
    world.heartbeat.beat()
    assert world.queue.extended == ["one"]
    world.held.waiting = False
    world.heartbeat.beat()
    assert world.queue.extended == ["one"]


def test_nothing_is_extended_beyond_twelve_hours_from_receipt(caplog: pytest.LogCaptureFixture) -> None:
    """SQS would refuse it; the message becomes visible by itself."""
    world = World()
    world.clock.now = 43_200.0 - 120.0
    world.registry.touch(world.held)
    world.heartbeat.beat()
    world.clock.now += 1
    world.registry.touch(world.held)
    world.heartbeat.beat()
    assert world.queue.extended == ["one"]
    assert "reason=cap" in caplog.text


def test_what_is_settled_is_no_longer_extended() -> None:
    """A message that was deleted or given back has no heartbeat, and is settled once."""
    world = World()
    assert world.registry.remove(world.held)
    assert not world.registry.remove(world.held)
    world.heartbeat.beat()
    assert world.queue.extended == []


def test_a_closed_breaker_permits_what_is_wanted() -> None:
    """Nothing happens until a chunk is refused."""
    assert CircuitBreaker(2.0, 60.0, Clock()).permits(7) == 7


def test_an_open_breaker_tries_one_chunk_after_its_delay() -> None:
    """Nothing before, one then, and no second beside it."""
    clock = Clock()
    breaker = CircuitBreaker(2.0, 60.0, clock)
    assert breaker.trip() == 2.0
    assert breaker.permits(7) == 0
    clock.now = 2.0
    assert [breaker.permits(7), breaker.permits(7)] == [1, 0]
    breaker.succeed()
    assert breaker.permits(7) == 7


def test_refusals_of_chunks_under_way_prolong_nothing() -> None:
    """Eight chunks of one window that are all refused count as one refusal."""
    clock = Clock()
    breaker = CircuitBreaker(2.0, 60.0, clock)
    for _ in range(8):
        breaker.trip()
    clock.now = 2.0
    assert breaker.permits(1) == 1


def test_the_delay_doubles_with_each_failed_trial_up_to_its_longest() -> None:
    """KMS is asked less and less often while its policy stays as it is."""
    clock = Clock()
    breaker = CircuitBreaker(2.0, 10.0, clock)
    delays = [breaker.trip()]
    for _ in range(4):
        clock.now += delays[-1]
        assert breaker.permits(1) == 1
        delays.append(breaker.trip())
    assert delays == [2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_trial_that_tells_nothing_makes_room_for_another() -> None:
    """An empty queue or a lost enclave does not leave the breaker waiting for an answer for ever."""
    clock = Clock()
    breaker = CircuitBreaker(2.0, 60.0, clock)
    breaker.trip()
    clock.now = 2.0
    assert breaker.permits(1) == 1
    breaker.release()
    assert breaker.permits(1) == 1


@given(st.lists(st.sampled_from(["permit", "trip", "succeed", "release", "wait"]), max_size=60))
def test_a_breaker_never_gets_stuck(steps: list[str]) -> None:
    """Whatever happened, after a release and the longest delay a chunk may be tried."""
    clock = Clock()
    breaker = CircuitBreaker(2.0, 60.0, clock)
    for step in steps:
        match step:
            case "permit":
                assert breaker.permits(5) in {0, 1, 5}
            case "trip":
                assert 0 <= breaker.trip() <= 60.0
            case "succeed":
                breaker.succeed()
                assert breaker.permits(5) == 5
            case "release":
                breaker.release()
            case _:
                clock.now += 1.0
    breaker.release()
    clock.now += 60.0
    assert breaker.permits(1) == 1
