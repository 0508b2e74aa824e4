"""The one thread that drives the engine, and the way to it for all others."""

import logging
import threading
from collections.abc import Sequence
from typing import Final, Protocol

from enclave_worker.engine import Completion, Engine, Prompt
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


class Driver:
    """Feeds waiting sequences to the engine and hands out what it completes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._scheduler = Scheduler()
        self._sinks: dict[int, Sink] = {}
        self._running: set[int] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self._steps = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def steps(self) -> int:
        """Iterations so far: while it grows, the engine is alive."""
        return self._steps

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
            self._scheduler.add(prompts)
            self._sinks.update((prompt.key, sink) for prompt in prompts)
            self._changed.notify_all()

    def withdraw(self, sink: Sink) -> None:
        """Forget what waits for `sink`; what runs for it ends unheard."""
        with self._changed:
            keys = [key for key, owner in self._sinks.items() if owner is sink]
            self._scheduler.discard(keys)
            for key in keys:
                del self._sinks[key]

    def _run(self) -> None:
        while self._await_work():
            try:
                completions = self._iterate()
            except Exception as error:  # noqa: BLE001 - whatever a model stack raises costs its batch, not the enclave
                # The text may quote content; the type cannot.
                _log.error("engine failed error=%s n=%d", type(error).__name__, len(self._running))
                self._fail_running()
            else:
                for completion in completions:
                    self._hand_out(completion)

    def _await_work(self) -> bool:
        with self._changed:
            while not (self._stopped or self._scheduler or self._engine.busy()):
                self._changed.wait()
            return not self._stopped

    def _iterate(self) -> list[Completion]:
        room = self._engine.room()
        with self._changed:
            prompts = self._scheduler.take(room)
            self._running.update(prompt.key for prompt in prompts)
        if prompts:
            self._engine.admit(prompts)
        completions = self._engine.step()
        self._steps += 1
        return completions

    def _hand_out(self, completion: Completion) -> None:
        with self._changed:
            self._running.discard(completion.key)
            sink = self._sinks.pop(completion.key, None)
        if sink is not None:
            sink.complete(completion)

    def _fail_running(self) -> None:
        self._engine.reset()
        with self._changed:
            failed = {id(sink): sink for key in self._running if (sink := self._sinks.get(key)) is not None}
            self._running.clear()
        for sink in failed.values():
            self.withdraw(sink)
            sink.fail()
