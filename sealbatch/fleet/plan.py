"""How many instances answer so many questions until a time, what binds first, and what it costs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sealbatch.fleet.allocator import PARENT_CPUS
from sealbatch.fleet.instances import InstanceType
from sealbatch.fleet.prices import Requests, service_costs
from sealbatch.fleet.quotas import Load
from sealbatch.fleet.simulate import Fleet, Outcome, Rates, Work, foresee

CORE_RATE: Final = 91.51
"""Answer tokens a second of one core, int8, a model of bloom-560m's size, prompts of 134 tokens and answers of 48.

Measured on an Intel Xeon with AVX-512 VNNI: bench/results/engine.json, workload `first`."""
SCALING: Final = 0.75
"""What is left of that on each of several cores: 136.66 tokens a second were measured on two."""
FIXED_SHARE: Final = 0.25
"""Part of a full step that does not shrink with the sequences: reading the weights. It matters at a job's end alone."""
WINDOW: Final = 8
SEQUENCES: Final = 64
"""Both are the worker's own (`enclave_worker.settings`)."""
START_S: Final = 300.0
CARRY_S: Final = 0.5
UNWRAP_S: Final = 0.2
SEAL_RATE: Final = 2_000.0
SEND_S: Final = 0.002
MAX_FLEET: Final = 5_000
KEYSET_CALLS: Final = 2
BODY: Final = 64 * 1024
GIB: Final = 2**30


class PlanError(Exception):
    """No number of instances does it; the text says what could."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked: the job, and seconds from now until it must have ended; sizes in bytes of one sealed chunk."""

    work: Work
    seconds: float
    core_rate: float = CORE_RATE
    scaling: float = SCALING
    start_s: float = START_S
    seal_rate: float = SEAL_RATE
    """Records a second that all workers seal and store together."""
    sealed_bytes: int = 32 * 1024
    days: float = 7.0
    """Days that sealed questions and answers are kept."""

    @property
    def before_s(self) -> float:
        """Seconds until all is sealed and stored, and the first message goes out."""
        return self.work.records / self.seal_rate

    @property
    def ready_s(self) -> float:
        """Seconds until the instances work: the first message starts them."""
        return self.before_s + self.start_s


@dataclass(frozen=True, slots=True)
class Plan:
    """A fleet of one type: tokens a second of an instance, when it ends, what it asks of AWS, and USD where priced."""

    kind: InstanceType
    instances: int
    rate: float
    outcome: Outcome
    load: Load
    costs: dict[str, float | None]

    @property
    def cost(self) -> float | None:
        """USD of everything whose price was given; None if not even the instances' was."""
        if self.costs["instances"] is None:
            return None
        return sum(cost for cost in self.costs.values() if cost is not None)


def instance_rate(kind: InstanceType, core_rate: float, scaling: float) -> float:
    """Tokens a second of an instance: cores that the parent can spare, a hyperthread not counted as one."""
    cores = (kind.vcpus - max(PARENT_CPUS, kind.threads)) // kind.threads
    return core_rate * cores * (scaling if cores > 1 else 1.0)


def plan(task: Task, kind: InstanceType, prices: Mapping[str, float]) -> Plan:
    """A fleet of `kind` that ends in time, with next to no instance too many.

    Raises:
        PlanError: none does.
    """
    rate = instance_rate(kind, task.core_rate, task.scaling)
    ready = task.ready_s
    left = task.seconds - ready
    if left <= 0:
        raise PlanError(
            f"{task.seconds:,.0f} s are left, sealing takes {task.before_s:,.0f} s and starting {task.start_s:,.0f} s: "
            "seal with more workers (--seal-rate), or begin earlier"
        )
    rates = _rates(task, rate)
    count = max(1, math.floor(task.work.records * task.work.tokens / (rate * left)))
    while (outcome := foresee(task.work, _fleet(task, count), rates)).end_s > task.seconds:
        if count >= MAX_FLEET or count > task.work.chunks:
            late = outcome.end_s - task.seconds
            raise PlanError(f"{count:,} instances would still end {late:,.0f} s late: begin earlier")
        # At least one more, and as many as it is too slow by.
        count = min(max(count + 1, math.floor(count * (outcome.end_s - ready) / left)), MAX_FLEET)
    hours = (outcome.end_s - task.before_s) / 3600
    price = prices.get(kind.name)
    costs: dict[str, float | None] = {"instances": None if price is None else count * hours * price}
    costs.update(service_costs(_requests(task, count), hours, prices))
    return Plan(kind, count, rate, outcome, _load(task, kind, count, outcome), costs)


def _rates(task: Task, rate: float) -> Rates:
    full = SEQUENCES / rate
    return Rates(
        step_s=FIXED_SHARE * full,
        token_s=(1 - FIXED_SHARE) / rate,
        before_s=task.before_s,
        send_s=SEND_S,
        carry_s=CARRY_S,
        unwrap_s=UNWRAP_S,
    )


def _fleet(task: Task, count: int) -> Fleet:
    return Fleet(count, WINDOW, SEQUENCES, task.ready_s)


def _requests(task: Task, count: int) -> Requests:
    chunks = task.work.chunks
    bodies = -(-task.sealed_bytes * 4 // 3 // BODY)  # a message is base64, and each 64 KiB of it is billed as one
    return Requests(
        sqs=chunks * (2 * bodies + 1),
        puts=2 * chunks,
        gets=chunks,
        kms=KEYSET_CALLS + count + 1,
        gib=2 * chunks * task.sealed_bytes / GIB,
        days=task.days,
    )


def _load(task: Task, kind: InstanceType, count: int, outcome: Outcome) -> Load:
    answered = task.work.chunks / max(outcome.end_s - task.ready_s, 1.0)
    sealed = task.seal_rate / task.work.chunk
    return Load(
        in_flight=outcome.in_flight,
        # All enclaves may ask in the same second, the first.
        kms=float(count + KEYSET_CALLS),
        puts=max(answered, sealed),
        gets=answered,
        vcpus=count * kind.vcpus,
    )
