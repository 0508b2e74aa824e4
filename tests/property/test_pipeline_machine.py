"""A state machine over the whole pipeline: a job comes to the same end whatever dies, halts, fails or is typed when.

Real bridges, enclaves, submitters and readers in simulated time (`simulated`), with real seals; hypothesis chooses what
happens, and dice of a seed that it chose the order in which threads run. `SEALBATCH_EXAMPLES=N` makes more runs.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from simulated.aws import KINDS, Fault
from simulated.world import CANARY, KILLS, Job, World

from enclave_worker.driver import Driver, Sink
from enclave_worker.engine import Prompt
from vsock_bridge.held import HeldRegistry, Piece
from vsock_bridge.settle import Settler
from vsock_bridge.store import Store
from wire.ledger import ChunkMessage

EXAMPLES = int(os.environ.get("SEALBATCH_EXAMPLES", "20"))
STEPS = 12
OPERATIONS = (
    "PutObject",
    "GetObject",
    "ListObjectsV2",
    "SendMessageBatch",
    "ReceiveMessage",
    "DeleteMessage",
    "ChangeMessageVisibilityBatch",
    "GenerateDataKey",
    "Decrypt",
)
JOBS = 3
ENCLAVE_KILLS = 4
"""One fewer than give a record up: nothing but the record itself may then be blamed."""
LONGEST = 1800.0
"""Seconds in which everything has to come to its end when nothing is disturbed any more."""

AFTER = st.sampled_from([0.0, 0.2, 0.5, 1.0, 3.0, 10.0, 45.0])
"""Seconds that pass before something happens."""


@dataclass(frozen=True)
class Asked:
    """A job as hypothesis draws it."""

    texts: list[str]
    chunk: int
    window: float | None
    killer: bool


asked = st.builds(
    Asked,
    st.lists(st.text("abc ", min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(1, 4),
    st.none() | st.none() | st.floats(1, 600),
    st.booleans(),
)
faults = st.builds(Fault, st.sampled_from(OPERATIONS), st.sampled_from(KINDS), st.integers(1, 4))


class Pipeline(RuleBasedStateMachine):
    """Two bridges, two enclaves, up to three jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.kills = 0
        self.killers = 0

    @initialize(
        seed=st.integers(0, 2**32 - 1),
        jobs=st.lists(asked, min_size=1, max_size=2),
        trouble=st.lists(faults),
        denied=st.booleans(),
    )
    def begin(self, seed: int, jobs: list[Asked], trouble: list[Fault], denied: bool) -> None:
        """Everything is started, into trouble, and asked something."""
        self.world = World(seed)
        self.world.start()
        self.world.cloud.faults += [replace(fault) for fault in trouble]
        self.world.cloud.deny = denied
        for job in jobs:
            self._ask(job)

    @precondition(lambda self: len(self.world.jobs) < JOBS)
    @rule(after=AFTER, job=asked)
    def submit(self, after: float, job: Asked) -> None:
        """A submitter, who may die or fail half way."""
        self._pass(after)
        self._ask(job)

    @rule(seconds=st.sampled_from([5.0, 30.0, 120.0, 900.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self._pass(seconds)

    @rule(after=AFTER, fault=faults)
    def fault(self, after: float, fault: Fault) -> None:
        """The next requests of an operation, whoever makes them, meet a fault, or end their process."""
        self._pass(after)
        self.world.cloud.faults.append(replace(fault))

    @rule(after=AFTER, denied=st.booleans())
    def key_policy(self, after: float, denied: bool) -> None:
        """KMS refuses the enclaves from now on, or no longer."""
        self._pass(after)
        self.world.cloud.deny = denied

    @rule(after=AFTER, number=st.integers(0, 1))
    def kill_bridge(self, after: float, number: int) -> None:
        """SIGKILL."""
        self._pass(after)
        self.world.sim.kill(self.world.bridges[number][0])

    @rule(after=AFTER, number=st.integers(0, 1))
    def terminate_bridge(self, after: float, number: int) -> None:
        """SIGTERM."""
        self._pass(after)
        self.world.terminate(number)

    @precondition(lambda self: self.kills < ENCLAVE_KILLS)
    @rule(after=AFTER, number=st.integers(0, 1))
    def kill_enclave(self, after: float, number: int) -> None:
        """SIGKILL."""
        self._pass(after)
        self.kills += 1
        self.world.sim.kill(self.world.enclaves[number])

    @rule(after=AFTER, number=st.integers(0, 1), enclave=st.booleans(), seconds=st.floats(0.1, 100))
    def halt(self, after: float, number: int, enclave: bool, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        self._pass(after)
        process = self.world.enclaves[number] if enclave else self.world.bridges[number][0]
        process.halted_until = self.world.sim.now + seconds

    @rule(after=AFTER, number=st.integers(0, JOBS - 1))
    def cancel(self, after: float, number: int) -> None:
        """A canceller."""
        self._pass(after)
        if (job := self._submitted(number)) is not None:
            self.world.cancel(job)

    @rule(after=AFTER, number=st.integers(0, JOBS - 1))
    def fetch(self, after: float, number: int) -> None:
        """An impatient reader: what is unfinished is no output, and what comes out is right."""
        self._pass(after)
        if (job := self._submitted(number)) is not None:
            self.world.fetch(job)

    @rule(after=AFTER, number=st.integers(0, JOBS - 1), force=st.booleans())
    def sweep(self, after: float, number: int, force: bool) -> None:
        """A sweeper, too eager too."""
        self._pass(after)
        if (job := self._submitted(number)) is not None:
            self.world.sweep(job, force=force)

    @rule(after=AFTER)
    def lose_messages(self, after: float) -> None:
        """The queue forgets all that is in it, as after its retention."""
        self._pass(after)
        self.world.cloud.messages.clear()

    @invariant()
    def nothing_is_broken(self) -> None:
        """No early acknowledgement, no plaintext, and no thread that ended by an error."""
        if hasattr(self, "world"):
            assert not self.world.cloud.broken, self.world.cloud.broken
            assert not self.world.sim.faults, self.world.sim.faults

    def teardown(self) -> None:
        """Nothing is disturbed any more: every job ends, as it would have without all this."""
        if not hasattr(self, "world"):
            return
        try:
            self._settle()
        finally:
            self.world.stop()

    def _settle(self) -> None:
        world = self.world
        world.cloud.faults.clear()
        world.cloud.deny = False
        for process in (*world.enclaves.values(), *(process for process, _ in world.bridges.values())):
            process.halted_until = 0.0
        end = world.sim.now + LONGEST
        while not all(world.finished(job) for job in world.jobs):
            self.nothing_is_broken()
            assert world.sim.now < end, "a job does not end"
            for job in world.jobs:
                if job.ticket is None:
                    world.submit(job)
                elif not world.finished(job):
                    world.sweep(job, force=False)
            world.sim.run(seconds=20.0)
        assert world.sim.run(lambda: not world.cloud.messages, LONGEST), "messages are left"
        for job in world.jobs:
            assert world.fetch(job)
        self.nothing_is_broken()

    def _pass(self, seconds: float) -> None:
        self.world.sim.run(seconds=seconds)

    def _ask(self, asked: Asked) -> None:
        questions = [f"{CANARY} {text}" for text in asked.texts]
        if asked.killer and not self.killers:
            self.killers = 1
            questions[-1] += f" {KILLS}"
        deadline = None if asked.window is None else self.world.sim.now + asked.window
        job = Job(f"job{len(self.world.jobs)}", questions, asked.chunk, deadline)
        self.world.jobs.append(job)
        self.world.submit(job)

    def _submitted(self, number: int) -> Job | None:
        jobs = self.world.jobs
        return jobs[number] if number < len(jobs) and jobs[number].ticket is not None else None


OPTIONS: dict[str, Any] = {
    "stateful_step_count": STEPS,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


def test_every_record_gets_its_one_outcome_whatever_happens() -> None:
    """One outcome a record, answers of an undisturbed run, nothing acknowledged early, no plaintext outside."""
    run_state_machine_as_test(Pipeline, settings=settings(max_examples=EXAMPLES, print_blob=True, **OPTIONS))  # type: ignore[no-untyped-call]


def deletes_first(settler: Settler, piece: Piece, sealed: bytes) -> None:
    """Acknowledge, then store."""
    settler._queue.delete(piece.held)
    FINISH(settler, piece, sealed)


def forgets_the_lost(settler: Settler, piece: Piece, *, sent: bool) -> None:
    """What an enclave took with it needs no answer."""
    settler._queue.delete(piece.held)


def stores_one_for_all(store: Store, chunk: ChunkMessage, sealed: bytes, first: int, count: int) -> None:
    """The first answer of a bridge serves for every chunk."""
    kept: bytes = vars(store).setdefault("kept", sealed)
    PUT_ANSWER(store, chunk, kept, first, count)


def settles_nothing(registry: HeldRegistry, piece: Piece) -> bool:
    """No piece is the last of its message."""
    return False


def logs_the_question(driver: Driver, prompts: Sequence[Prompt], sink: Sink) -> None:
    """A line for whoever looks for a fault."""
    logging.getLogger("sealbatch.enclave_worker").info("prompt %s", bytes(list(prompts[0].tokens)).decode())
    SUBMIT(driver, prompts, sink)


FINISH, PUT_ANSWER, SUBMIT = Settler._finish, Store.put_answer, Driver.submit
NO_END = "a job does not end|messages are left"
BUGS = [
    (Settler, "_finish", deletes_first, "acknowledged before it was durable"),
    (Settler, "lost", forgets_the_lost, "acknowledged before it was durable"),
    (Store, "put_answer", stores_one_for_all, "IntegrityError"),
    (HeldRegistry, "settle", settles_nothing, NO_END),
    (Driver, "submit", logs_the_question, "plaintext outside"),
]


@pytest.mark.parametrize(("owner", "name", "bug", "said"), BUGS, ids=[bug[2].__name__ for bug in BUGS])
def test_the_machine_finds_a_bug_that_is_put_in(owner: type, name: str, bug: Callable[..., None], said: str) -> None:
    """Each invariant can fail: with the bug, one does, and says which."""
    quick = settings(max_examples=60, derandomize=True, phases=[Phase.generate], **OPTIONS)
    with mock.patch.object(owner, name, bug), pytest.raises(AssertionError, match=said):
        run_state_machine_as_test(Pipeline, settings=quick)  # type: ignore[no-untyped-call]
