"""A job from its submit to the last stored answer, event by event, at given rates.

The producer seals and stores all, then sends message after message. Each enclave takes what its window has room for,
computes up to so many sequences at a time, and gives each chunk back when its records are answered. A step of an engine
makes one token of every running sequence and takes `step_s`, and `token_s` for each of them: so a full engine is fast,
and one that runs dry is not.
"""

import heapq
from dataclasses import dataclass, field, replace
from typing import Final

SEND: Final = 0
ARRIVE: Final = 1
STEP: Final = 2
EPSILON: Final = 1e-9
SAMPLE: Final = 40
"""Chunks of each enclave that are enough to see the middle of a job."""


@dataclass(frozen=True, slots=True)
class Work:
    """A job: records, records of a chunk, and tokens of an answer."""

    records: int
    chunk: int
    tokens: float

    @property
    def chunks(self) -> int:
        """Chunks of the job."""
        return -(-self.records // self.chunk)


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured; all in seconds."""

    step_s: float
    """One step of the engine, whatever runs."""
    token_s: float
    """What each running sequence adds to a step; prompts count in it."""
    before_s: float = 0.0
    """Sealing and storing the whole job: no message goes out before."""
    send_s: float = 0.0
    """Between one message and the next."""
    carry_s: float = 0.0
    """From the queue to the enclave, and from the enclave to the bucket: both ways of one chunk together."""
    unwrap_s: float = 0.0
    """The first chunk of an enclave waits so long for KMS."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Enclaves that are ready `ready_s` after the submit began, with windows of chunks and engines of sequences."""

    enclaves: int
    window: int
    sequences: int
    ready_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """When the last answer is stored, the share of enclave time that computes, and chunks in flight at most."""

    end_s: float
    busy: float
    in_flight: int


@dataclass(slots=True)
class _Enclave:
    """One engine: what waits, what runs as [steps left, sequences], and since when."""

    waiting: list[int] = field(default_factory=list)
    running: list[list[float]] = field(default_factory=list)
    held: int = 0
    since: float = 0.0
    busy: float = 0.0
    version: int = 0
    stamp: int = 0
    opened: bool = False

    def sequences(self) -> float:
        return sum(count for _, count in self.running)


def simulate(work: Work, fleet: Fleet, rates: Rates) -> Outcome:
    """Run the job.

    Raises:
        ValueError: a chunk is larger than an engine, so that nothing would ever run.
    """
    if work.chunk > fleet.sequences:
        raise ValueError(f"chunks of {work.chunk} records are larger than an engine of {fleet.sequences} sequences")
    return _Run(work, fleet, rates).run()


def foresee(work: Work, fleet: Fleet, rates: Rates) -> Outcome:
    """The same for jobs of any size: what a long job does in its middle it does all the time.

    Two shorter jobs are run, and what the second takes longer is what each further chunk takes.

    Raises:
        ValueError: as `simulate` does.
    """
    short, long = (chunks * fleet.enclaves * work.chunk for chunks in (SAMPLE, 2 * SAMPLE))
    if work.records <= 2 * long:
        return simulate(work, fleet, rates)
    first, second = (simulate(replace(work, records=records), fleet, rates) for records in (short, long))
    slope = (second.end_s - first.end_s) / (long - short)
    return replace(second, end_s=second.end_s + slope * (work.records - long))


class _Run:
    def __init__(self, work: Work, fleet: Fleet, rates: Rates) -> None:
        self._work, self._fleet, self._rates = work, fleet, rates
        self._enclaves = [_Enclave() for _ in range(fleet.enclaves)]
        self._events: list[tuple[float, int, int, int]] = []
        self._sent = self._taken = self._done = self._most = 0
        self._end = 0.0
        # Who asks next: the one that holds least, so that a short queue is shared and not grabbed. Entries that a
        # later one replaced stay behind and are known by their stamp.
        self._askers = [(0, number, 0) for number in range(fleet.enclaves)]

    def run(self) -> Outcome:
        """All events in the order of their time."""
        # The second looks at the queue when the enclaves are ready, and sends nothing.
        heapq.heappush(self._events, (self._rates.before_s, SEND, 0, 1))
        heapq.heappush(self._events, (self._fleet.ready_s, SEND, 0, 0))
        while self._done < self._work.chunks:
            now, kind, number, extra = heapq.heappop(self._events)
            if kind == SEND:
                self._send(now, extra)
            elif kind == ARRIVE:
                self._settle(self._enclaves[number], now)
                self._enclaves[number].waiting.append(extra)
                self._advance(number, now)
            elif self._enclaves[number].version == extra:
                self._settle(self._enclaves[number], now)
                self._advance(number, now)
        spent = self._fleet.enclaves * max(self._end - self._fleet.ready_s, EPSILON)
        return Outcome(self._end, sum(enclave.busy for enclave in self._enclaves) / spent, self._most)

    def _send(self, now: float, messages: int) -> None:
        self._sent += messages
        if messages and self._sent < self._work.chunks:
            heapq.heappush(self._events, (now + self._rates.send_s, SEND, 0, 1))
        if now >= self._fleet.ready_s:
            self._hand_out(now)

    def _hand_out(self, now: float) -> None:
        while self._taken < self._sent and self._askers:
            _, number, stamp = heapq.heappop(self._askers)
            enclave = self._enclaves[number]
            if stamp != enclave.stamp:
                continue
            enclave.held += 1
            self._ask(number)
            last = self._taken == self._work.chunks - 1
            records = self._work.records - self._work.chunk * (self._work.chunks - 1) if last else self._work.chunk
            self._taken += 1
            self._most = max(self._most, self._taken - self._done)
            delay = self._rates.carry_s / 2 + (0.0 if enclave.opened else self._rates.unwrap_s)
            enclave.opened = True
            heapq.heappush(self._events, (now + delay, ARRIVE, number, records))

    def _ask(self, number: int) -> None:
        enclave = self._enclaves[number]
        enclave.stamp += 1
        if enclave.held < self._fleet.window:
            heapq.heappush(self._askers, (enclave.held, number, enclave.stamp))

    def _step_s(self, enclave: _Enclave) -> float:
        return self._rates.step_s + self._rates.token_s * enclave.sequences()

    def _settle(self, enclave: _Enclave, now: float) -> None:
        """Count the steps since the last event."""
        if enclave.running:
            steps = (now - enclave.since) / self._step_s(enclave)
            for chunk in enclave.running:
                chunk[0] -= steps
            enclave.busy += now - enclave.since
        enclave.since = now

    def _advance(self, number: int, now: float) -> None:
        enclave = self._enclaves[number]
        finished = sum(left <= EPSILON for left, _ in enclave.running)
        enclave.running = [chunk for chunk in enclave.running if chunk[0] > EPSILON]
        while enclave.waiting and enclave.sequences() + enclave.waiting[0] <= self._fleet.sequences:
            enclave.running.append([self._work.tokens, float(enclave.waiting.pop(0))])
        enclave.version += 1
        if enclave.running:
            next_end = now + min(left for left, _ in enclave.running) * self._step_s(enclave)
            heapq.heappush(self._events, (next_end, STEP, number, enclave.version))
        if finished:
            self._done += finished
            enclave.held -= finished
            self._end = now + self._rates.carry_s / 2
            self._ask(number)
            self._hand_out(now)
