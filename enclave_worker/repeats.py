"""Identical questions under one question key are computed once: who waits for whose answer.

Identical means the same scope, tokens and parameters, the seed only where it counts. An answer stays known for a while
after it was given, since a job comes in chunks.
"""

from array import array
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from enclave_worker.engine import Completion, Prompt

REMEMBERED: Final = 1024
"""Answers that are kept, at most; an answer has at most some tens of kilobytes."""

Identity = tuple[object, ...]


class Repeats:
    """Not thread-safe: its owner locks. With 0 `remembered`, no two sequences are identical."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._answers: OrderedDict[Identity, Completion] = OrderedDict()
        self._leaders: dict[Identity, int] = {}
        self._identities: dict[int, Identity] = {}
        self._waiting: dict[int, list[int]] = {}

    def join(self, prompt: Prompt) -> Completion | int:
        """The answer if it is known; else the key of the sequence whose answer this one gets: its own, or another's."""
        identity = _identity(prompt) if self._remembered else (prompt.key,)
        answer = self._answers.get(identity)
        if answer is not None:
            self._answers.move_to_end(identity)
            return replace(answer, key=prompt.key)
        leader = self._leaders.setdefault(identity, prompt.key)
        if leader == prompt.key:
            self._identities[leader] = identity
            self._waiting[leader] = [leader]
        else:
            self._waiting[leader].append(prompt.key)
        return leader

    def finish(self, completion: Completion) -> list[Completion]:
        """The completions that one of the engine's stands for."""
        identity = self._identities.get(completion.key)
        waiting = self.end(completion.key)
        if identity is not None and completion.finish_reason != "poison":
            self._answers[identity] = completion
            while len(self._answers) > self._remembered:
                self._answers.popitem(last=False)
        return [replace(completion, key=key) for key in waiting]

    def leave(self, keys: set[int]) -> list[int]:
        """Nobody wants the answers for `keys` any more; the sequences that now nobody wants at all."""
        unwanted = []
        for leader, waiting in list(self._waiting.items()):
            if keys.isdisjoint(waiting):
                continue
            waiting[:] = [key for key in waiting if key not in keys]
            if not waiting:
                self.end(leader)
                unwanted.append(leader)
        return unwanted

    def end(self, leader: int) -> list[int]:
        """The keys that waited for a sequence; nobody does any more."""
        identity = self._identities.pop(leader, None)
        if identity is not None:
            del self._leaders[identity]
        return self._waiting.pop(leader, [])


def _identity(prompt: Prompt) -> Identity:
    params = prompt.params if prompt.params.temperature > 0 else replace(prompt.params, seed=0)
    return prompt.scope, array("I", prompt.tokens).tobytes(), params
