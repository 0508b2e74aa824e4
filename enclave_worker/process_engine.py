"""An engine in a process of its own: when that dies, hangs or fails, its sequences run again and no one else notices.

A process that dies in the middle of a batch does not say which sequence it died of. All of the batch are suspects then,
and each runs again alone. One that ends the process `POISON` times while it is alone is completed as `poison`; all
others are answered. Deaths in company count for nothing, and one alone is no proof either, since a process may also be
killed from outside.
"""

import logging
import os
from collections import Counter, deque
from collections.abc import Collection, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

from enclave_worker.engine import Completion, Poisonous, Prompt, Room
from enclave_worker.engine_process import CHILD, EngineGone, EngineProcess, TextLost
from enclave_worker.engine_wire import Failed, Profile, Step
from enclave_worker.keeper import Keeper
from enclave_worker.settings import Settings
from enclave_worker.vitals import Vitals, resident

POISON: Final = 2
"""Times that a sequence may end the engine while nothing else runs."""
POISON_TEXT: Final = 3
"""Times that a process may end while it tokenizes a text: a step that runs beside it may have been the cause."""
NO_ROOM: Final = Room(0, 0)

_log: Final = logging.getLogger("sealbatch.enclave_worker")


class ProcessEngine:
    """Stands where an `Engine` stands. One thread drives it; `tokenize` is open to all."""

    def __init__(self, settings: Settings, command: Sequence[str] = CHILD) -> None:
        """Start the process and wait until its model is loaded.

        Raises:
            ModelError: the model cannot be loaded. EngineGone: the process ended before it was ready.
        """
        self._keeper = Keeper(partial(EngineProcess, settings, command))
        process = self._keeper.process()
        self._profile: Profile = process.profile
        self.model_name = self._profile.model_name
        self.model_digest = self._profile.model_digest
        self.context_length = self._profile.context_length
        self._process: EngineProcess | None = process
        self._room = self._profile.room
        self._running: dict[int, Prompt] = {}
        self._admitted: list[Prompt] = []
        self._suspects: deque[Prompt] = deque()
        self._deaths: Counter[int] = Counter()
        self._alone = False
        self._reset = False
        self._cancelled: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process. A `step` or `tokenize` under way raises `EngineGone`."""
        self._keeper.close()

    def vitals(self) -> Vitals:
        """How this process and the engine's are."""
        process = self._keeper.running()
        engine = 0 if process is None else resident(process.pid)
        return Vitals(process is not None, self._keeper.starts - 1, resident(os.getpid()) + engine)

    def tokenize(self, prompt: str) -> Sequence[int]:
        """See `Engine.tokenize`. While the process is restarted, this waits.

        Raises:
            Poisonous: processes ended while they tokenized this. EngineGone: the engine was closed.
        """
        losses = 0
        while losses < POISON_TEXT:
            process = self._keeper.process()
            try:
                return process.tokenize(prompt)
            except TextLost:
                losses += 1
            except EngineGone:
                continue
        raise Poisonous

    def room(self) -> Room:
        """See `Engine.room`: none while suspects run alone."""
        return NO_ROOM if self._suspects or self._alone else self._room

    def admit(self, prompts: Sequence[Prompt]) -> None:
        """See `Engine.admit`. The process takes them with the next step."""
        self._admitted += prompts

    def cancel(self, keys: Collection[int]) -> None:
        """See `Engine.cancel`. The process hears of it with the next step."""
        wanted = set(keys)
        self._cancelled |= wanted & self._running.keys()
        for key in wanted:
            self._running.pop(key, None)
            self._deaths.pop(key, None)
        self._admitted = [prompt for prompt in self._admitted if prompt.key not in wanted]
        self._suspects = deque(prompt for prompt in self._suspects if prompt.key not in wanted)
        # One that ran alone and is forgotten makes room for others.
        self._alone = self._alone and bool(self._running or self._admitted)

    def busy(self) -> bool:
        """See `Engine.busy`: also while the process has not yet heard what to forget."""
        return bool(self._running or self._admitted or self._suspects or self._cancelled)

    def reset(self) -> None:
        """See `Engine.reset`."""
        self._running.clear()
        self._admitted.clear()
        self._suspects.clear()
        self._deaths.clear()
        self._cancelled.clear()
        self._alone = False
        self._reset = True

    def step(self) -> list[Completion]:
        """See `Engine.step`. An iteration that the process does not survive completes nothing, or a poisonous sequence.

        Raises:
            EngineGone: the engine was closed.
        """
        process = self._living()
        if not self._running and not self._admitted:
            self._alone = bool(self._suspects)
            if self._suspects:
                self._admitted.append(self._suspects.popleft())
        prompts, self._admitted = self._admitted, []
        self._running.update((prompt.key, prompt) for prompt in prompts)
        try:
            reply = process.step(Step(prompts, tuple(self._cancelled), self._reset))
        except EngineGone:
            self._process = None
            return self._blame("died")
        if isinstance(reply, Failed):
            return self._blame(reply.error)
        self._cancelled.clear()
        self._reset, self._room = False, reply.room
        # What the process was never asked for is not passed on, whatever it says.
        done = [completion for completion in reply.completions if self._running.pop(completion.key, None) is not None]
        for completion in done:
            del self._deaths[completion.key]
        self._alone = self._alone and bool(self._running)
        return done

    def _living(self) -> EngineProcess:
        """The running process. What ran in one that ended between two steps runs again; that was nobody's fault."""
        process = self._keeper.process()
        if process is not self._process:
            if process.profile != self._profile:
                raise EngineGone("another model")
            self._admitted = [*self._running.values(), *self._admitted]
            self._running.clear()
            self._cancelled.clear()
            self._process, self._room, self._reset = process, self._profile.room, False
        return process

    def _blame(self, why: str) -> list[Completion]:
        """The engine failed: suspect what ran, convict what ran alone often enough."""
        suspects = list(self._running.values())
        self._running.clear()
        self._cancelled.clear()
        self._reset, self._room = True, self._profile.room
        _log.error(
            "engine failed error=%s n=%d: it is started again and what ran runs again, one at a time; a record that "
            "ends it twice alone gets poison_record",
            why,
            len(suspects),
        )
        if len(suspects) != 1:
            self._suspects += suspects
            return []
        alone = suspects[0]
        self._deaths[alone.key] += 1
        if self._deaths[alone.key] < POISON:
            self._suspects.appendleft(alone)
            return []
        del self._deaths[alone.key]
        self._alone = False
        return [Completion(alone.key, "", "poison", 0)]
