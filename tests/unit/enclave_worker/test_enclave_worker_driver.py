"""The engine's thread: completions reach their sinks, and what fails or is withdrawn costs nobody else."""

import logging
import threading
from collections.abc import Iterator

import pytest
from scripted_engine import ScriptedEngine
from waiting import wait_until

from enclave_worker.driver import Driver
from enclave_worker.engine import Completion, Prompt, SamplingParams

PARAMS = SamplingParams(20, 0.0, 1.0, 0, ())


class Sink:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.failed = threading.Event()

    def complete(self, completion: Completion) -> None:
        """See `Sink.complete`."""
        assert completion.key not in self.texts
        self.texts[completion.key] = completion.text

    def fail(self) -> None:
        """See `Sink.fail`."""
        assert not self.failed.is_set()
        self.failed.set()


def prompts(*keys: int) -> list[Prompt]:
    """A sequence for each key, whose text is `key N`."""
    return [Prompt(key, list(b"key %d" % key), PARAMS) for key in keys]


@pytest.fixture(name="engine")
def make_engine() -> ScriptedEngine:
    """Four sequences at a time."""
    return ScriptedEngine()


@pytest.fixture(name="driver")
def make_driver(engine: ScriptedEngine) -> Iterator[Driver]:
    """A running driver."""
    driver = Driver(engine)
    driver.start()
    yield driver
    engine.gate.set()
    driver.stop()


def test_every_sequence_ends_at_the_sink_that_asked(driver: Driver) -> None:
    """More sequences than the engine has room for, from several sinks."""
    sinks = [Sink() for _ in range(3)]
    for number, sink in enumerate(sinks):
        driver.submit(prompts(*range(10 * number, 10 * number + 10)), sink)
    wait_until(lambda: all(len(sink.texts) == 10 for sink in sinks))
    for number, sink in enumerate(sinks):
        assert sink.texts == {key: f"key {key}"[::-1] for key in range(10 * number, 10 * number + 10)}
    assert driver.steps > 0


def test_a_failing_engine_costs_the_chunks_that_ran_and_no_other(
    driver: Driver, engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Their sinks hear it once; the engine goes on with those that waited; the error's text stays unsaid."""
    engine.gate.clear()
    poisoned, fellow, later = Sink(), Sink(), Sink()
    engine.poison = b"key 1"
    with caplog.at_level(logging.DEBUG):
        driver.submit(prompts(1, 2), poisoned)
        assert engine.stepping.wait(10)
        driver.submit(prompts(30, 31, 32, 33), fellow)
        engine.gate.set()
        assert poisoned.failed.wait(10)
        driver.submit(prompts(50), later)
        wait_until(lambda: len(fellow.texts) == 4 and len(later.texts) == 1)
    assert not poisoned.texts
    assert not fellow.failed.is_set()
    assert "RuntimeError" in caplog.text
    assert "key 1" not in caplog.text


def test_what_waits_for_a_failed_sink_is_withdrawn_with_it(driver: Driver, engine: ScriptedEngine) -> None:
    """A chunk that lost one sequence is refused whole; the rest of it would be work for nobody."""
    engine.gate.clear()
    engine.poison = b"key 0"
    sink = Sink()
    driver.submit(prompts(*range(12)), sink)
    assert engine.stepping.wait(10)
    engine.gate.set()
    assert sink.failed.wait(10)
    after = Sink()
    driver.submit(prompts(100), after)
    wait_until(lambda: bool(after.texts))
    assert sum(len(batch) for batch in engine.batches) == 5


def test_withdrawn_sequences_do_not_run_and_running_ones_end_unheard(driver: Driver, engine: ScriptedEngine) -> None:
    """A connection is gone: its work is not done, and nobody is called."""
    engine.gate.clear()
    gone = Sink()
    driver.submit(prompts(*range(8)), gone)
    assert engine.stepping.wait(10)
    driver.withdraw(gone)
    engine.gate.set()
    stays = Sink()
    driver.submit(prompts(20), stays)
    wait_until(lambda: bool(stays.texts))
    assert not gone.texts
    assert {key for batch in engine.batches for key in batch} == {0, 1, 2, 3, 20}


def test_stopping_ends_after_the_iteration_that_runs(engine: ScriptedEngine) -> None:
    """What is unfinished stays so, and the thread is gone."""
    driver = Driver(engine)
    driver.start()
    engine.gate.clear()
    sink = Sink()
    driver.submit(prompts(*range(40)), sink)
    assert engine.stepping.wait(10)
    stopper = threading.Thread(target=driver.stop)
    stopper.start()
    engine.gate.set()
    stopper.join(10)
    assert not stopper.is_alive()
    assert len(sink.texts) < 40


def alike(*keys: int, scope: bytes = b"s") -> list[Prompt]:
    """The same question under several keys."""
    return [Prompt(key, list(b"the same"), PARAMS, "t", scope) for key in keys]


def test_identical_questions_are_computed_once(driver: Driver, engine: ScriptedEngine) -> None:
    """Beside each other, from another chunk, and after the answer was given; those of another scope are their own."""
    first, second, third, other = Sink(), Sink(), Sink(), Sink()
    engine.gate.clear()
    driver.submit(alike(1, 2), first)
    driver.submit(alike(3), second)
    engine.gate.set()
    wait_until(lambda: len(first.texts) == 2 and len(second.texts) == 1)
    driver.submit(alike(4), third)
    driver.submit(alike(5, scope=b"k"), other)
    wait_until(lambda: third.texts and other.texts)
    assert first.texts | second.texts | third.texts | other.texts == dict.fromkeys(range(1, 6), "emas eht")
    assert sorted(key for batch in engine.batches for key in batch) == [1, 5]


def test_a_chunk_that_is_withdrawn_leaves_those_that_ask_the_same(driver: Driver, engine: ScriptedEngine) -> None:
    """The sequence goes on for the other; only when nobody wants it is the engine told to forget it."""
    gone, stays, nobody = Sink(), Sink(), Sink()
    engine.gate.clear()
    driver.submit(alike(1), gone)
    driver.submit(alike(2), stays)
    driver.submit(prompts(3), nobody)
    wait_until(engine.stepping.is_set)
    driver.withdraw(gone)
    driver.withdraw(nobody)
    engine.gate.set()
    wait_until(lambda: stays.texts)
    assert (stays.texts, gone.texts, nobody.texts) == ({2: "emas eht"}, {}, {})
    assert 1 not in engine.cancelled


def test_deduplication_can_be_switched_off(engine: ScriptedEngine) -> None:
    """Then each is computed."""
    driver = Driver(engine, deduplicate=False)
    driver.start()
    sink = Sink()
    driver.submit(alike(1, 2), sink)
    wait_until(lambda: len(sink.texts) == 2)
    driver.stop()
    assert sorted(key for batch in engine.batches for key in batch) == [1, 2]
