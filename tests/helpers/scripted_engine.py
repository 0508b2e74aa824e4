"""An engine without a model: it answers a prompt with its own text reversed, when and as far as a test lets it."""

import os
import threading
import time
from collections.abc import Collection, Sequence

from enclave_worker.engine import Completion, Prompt, Room
from enclave_worker.vitals import Vitals, resident

MODEL = bytes([8]) * 32
CONTEXT = 200


class ScriptedEngine:
    """One token a byte. A sequence ends after as many steps as its prompt has bytes modulo 3, and one."""

    model_name = "test/reversed"
    model_digest = MODEL
    context_length = CONTEXT

    def __init__(self, *, sequences: int = 4, positions: int = 4 * CONTEXT) -> None:
        self._capacity = Room(sequences, positions)
        self._running: dict[int, tuple[Prompt, int]] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.stepping = threading.Event()
        self.poison: bytes | None = None
        self.endless = False
        self.batches: list[list[int]] = []
        self.tokenized: list[str] = []
        self.cancelled: list[int] = []

    def vitals(self) -> Vitals:
        """It runs, and never ended."""
        return Vitals(ready=True, restarts=0, resident=resident(os.getpid()))

    def tokenize(self, prompt: str) -> list[int]:
        """The bytes of the prompt, which is remembered."""
        self.tokenized.append(prompt)
        return list(prompt.encode())

    def room(self) -> Room:
        """All or, while a batch runs, nothing."""
        return Room(0, 0) if self._running else self._capacity

    def admit(self, prompts: Sequence[Prompt]) -> None:
        """Take a batch, and check that it is within the room."""
        assert self.room().holds(prompts)
        self._running = {prompt.key: (prompt, len(prompt.tokens) % 3 + 1) for prompt in prompts}
        self.batches.append([prompt.key for prompt in prompts])

    def step(self) -> list[Completion]:
        """Wait for the gate, then take one step; a poisoned prompt raises an error that quotes it.

        While the engine is `endless`, steps are taken and nothing is ever finished.
        """
        self.stepping.set()
        assert self.gate.wait(30)
        if self.endless:
            time.sleep(0.01)
            return []
        for prompt, _ in self._running.values():
            text = bytes(list(prompt.tokens))
            if self.poison is not None and self.poison in text:
                raise RuntimeError(f"cannot compute {text!r}")
        done = [prompt for prompt, left in self._running.values() if left == 1]
        self._running = {key: (prompt, left - 1) for key, (prompt, left) in self._running.items() if left > 1}
        return [completion(prompt) for prompt in done]

    def busy(self) -> bool:
        """Whether a batch runs."""
        return bool(self._running)

    def cancel(self, keys: Collection[int]) -> None:
        """Forget these, and remember that they were named."""
        self.cancelled += keys
        for key in keys:
            self._running.pop(key, None)

    def reset(self) -> None:
        """Forget the batch."""
        self._running = {}


def completion(prompt: Prompt) -> Completion:
    """The answer to a prompt: `length` when it was allowed one token only."""
    text = bytes(list(prompt.tokens)).decode()[::-1]
    reason = "length" if prompt.params.max_tokens == 1 else "stop"
    return Completion(prompt.key, text, reason, min(len(prompt.tokens), prompt.params.max_tokens))
