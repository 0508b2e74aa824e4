"""The one thread that drives the engine, and the way to it for all others."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from enclave_worker.engine import Completion, Engine, Prompt
from enclave_worker.repeats import Repeats
from enclave_worker.scheduler import Scheduler

STOP_TIMEOUT: Final = 5.0
"""Seconds that a running iteration has to end: a hung engine does not keep the enclave from ending."""

_log: Final = logging.getLogger("sealbatch.enclave_worker")


class Sink(Protocol):
    """Where completions go. Called on the driver's thread: it hands over and returns."""

    def complete(self, completion: Completion) -> None:
        """One sequence is finished."""
        ...

    def fail(self) -> None:
        """The engine failed while it ran a sequence of this sink; the others of it are withdrawn."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """What the engine has done since the start, and what it has to do.

    `tokens` were generated, and `sequence_seconds` are the seconds that sequences ran, added up. `accepted` are the
    records that are unfinished, `waiting` the sequences among them that are not admitted yet.
    """

    tokens: int
    sequence_seconds: float
    accepted: int
    waiting: int


class Driver:
    """Feeds waiting sequences to the engine and hands out what it completes."""

    def __init__(self, engine: Engine, *, deduplicate: bool = True, single_tenant: bool = False) -> None:
        self._engine = engine
        self._scheduler = Scheduler(single_tenant=single_tenant)
        self._repeats = Repeats() if deduplicate else Repeats(remembered=0)
        self._sinks: dict[int, Sink] = {}
        self._running: dict[int, str] = {}
        self._known: list[Completion] = []
        self._unwanted: list[int] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._steps = 0
        self._tokens = 0
        self._sequence_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def steps(self) -> int:
        """Iterations so far: while it grows, the engine is alive."""
        return self._steps

    def load(self) -> Load:
        """See `Load`."""
        with self._changed:
            return Load(self._tokens, self._sequence_seconds, len(self._sinks), len(self._scheduler))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the iteration that runs, or leave it if that takes long; what is unfinished stays so."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(STOP_TIMEOUT)

    def submit(self, prompts: Sequence[Prompt], sink: Sink) -> None:
        """Have sequences generated for `sink`."""
        with self._changed:
            self._sinks.update((prompt.key, sink) for prompt in prompts)
            self._scheduler.add(prompt for prompt in prompts if self._is_new(prompt))
            self._changed.notify_all()

    def withdraw(self, sink: Sink) -> None:
        """Forget what waits or runs for `sink`."""
        with self._changed:
            keys = {key for key, owner in self._sinks.items() if owner is sink}
            for key in keys:
                del self._sinks[key]
            unwanted = self._repeats.leave(keys)
            self._scheduler.discard(unwanted)
            self._unwanted += [key for key in unwanted if key in self._running]
            self._changed.notify_all()

    def _run(self) -> None:
        while self._await_work():
            try:
                completions = self._iterate()
            except Exception as error:  # noqa: BLE001 - whatever a model stack raises costs its batch, not the enclave
                # The text may quote content; the type cannot.
                _log.error(
                    "engine failed error=%s n=%d: so many records get errored; it goes on with the next",
                    type(error).__name__,
                    len(self._running),
                )
                self._fail_running()
            else:
                for completion in completions:
                    self._hand_out(completion)

    def _await_work(self) -> bool:
        with self._changed:
            while not (self._stopped or self._scheduler or self._known or self._engine.busy()):
                self._changed.wait()
            return not self._stopped

    def _iterate(self) -> list[Completion]:
        with self._changed:
            unwanted, self._unwanted = self._unwanted, []
            for key in unwanted:
                self._running.pop(key, None)
        if unwanted:
            self._engine.cancel(unwanted)
        room = self._engine.room()
        with self._changed:
            prompts = self._scheduler.take(room, set(self._running.values()))
            self._running.update((prompt.key, prompt.tenant) for prompt in prompts)
            known, self._known = self._known, []
        if prompts:
            self._engine.admit(prompts)
        began, running = time.monotonic(), len(self._running)
        completions = self._engine.step() if self._engine.busy() else []
        self._sequence_seconds += running * (time.monotonic() - began)
        self._tokens += sum(completion.completion_tokens for completion in completions)
        self._steps += 1
        return known + completions

    def _is_new(self, prompt: Prompt) -> bool:
        """Whether the engine has to compute this, and no other sequence's answer serves."""
        found = self._repeats.join(prompt)
        if isinstance(found, Completion):
            self._known.append(found)
        return found == prompt.key

    def _hand_out(self, completion: Completion) -> None:
        with self._changed:
            self._running.pop(completion.key, None)
            # One that was known before stands for itself alone.
            completions = self._repeats.finish(completion) or [completion]
            told = [(self._sinks.pop(item.key, None), item) for item in completions]
        for sink, item in told:
            if sink is not None:
                sink.complete(item)

    def _fail_running(self) -> None:
        self._engine.reset()
        with self._changed:
            keys = [key for leader in self._running for key in self._repeats.end(leader)]
            failed = {id(sink): sink for key in keys if (sink := self._sinks.get(key)) is not None}
            self._running.clear()
            self._unwanted.clear()
        for sink in failed.values():
            self.withdraw(sink)
            sink.fail()
