"""An engine without a model, as an engine process: fast, deterministic, and with a few words that it cannot stand.

One token a byte. The answer to a prompt is the first hexadecimal digits of the SHA-256 of its tokens, so a wrong,
swapped or half answer is told from the right one by anybody who knows the prompt. A few words in a prompt make the step
that runs it kill, hang or fail the engine.
"""

import hashlib
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Collection, Sequence
from typing import Final

from enclave_worker.engine import Completion, Prompt, Room
from enclave_worker.engine_child import main
from enclave_worker.settings import Settings

MODEL: Final = bytes([8]) * 32
CONTEXT: Final = 4096
KILLS: Final = b"kill-the-engine"
HANGS: Final = b"hang-the-engine"
RAISES: Final = b"raise-in-the-engine"
TELLS: Final = b"tell-the-console"
TOKENIZER_KILLS: Final = "kill-the-tokenizer"
STEPS: Final = 3
"""Iterations of a sequence."""


class StubEngine:
    """Runs up to `sequences` at a time, each for `STEPS` iterations of `pause` seconds."""

    model_name = "test/stub"
    model_digest = MODEL
    context_length = CONTEXT

    def __init__(self, sequences: int = 64, pause: float = 0.001) -> None:
        self._sequences = sequences
        self._pause = pause
        self._running: dict[int, tuple[Prompt, int]] = {}

    def tokenize(self, prompt: str) -> list[int]:
        """The bytes of the prompt."""
        if TOKENIZER_KILLS in prompt:
            os.kill(os.getpid(), signal.SIGKILL)
        return list(prompt.encode())

    def room(self) -> Room:
        """What is left of the sequences."""
        free = self._sequences - len(self._running)
        return Room(free, free * CONTEXT)

    def admit(self, prompts: Sequence[Prompt]) -> None:
        """Take sequences."""
        if len(prompts) > self.room().sequences:
            raise ValueError("no room")
        self._running |= {prompt.key: (prompt, STEPS) for prompt in prompts}

    def step(self) -> list[Completion]:
        """One iteration."""
        for prompt, _ in self._running.values():
            _perform(bytes(list(prompt.tokens)))
        time.sleep(self._pause)
        done = [prompt for prompt, left in self._running.values() if left == 1]
        self._running = {key: (prompt, left - 1) for key, (prompt, left) in self._running.items() if left > 1}
        return [Completion(prompt.key, answer_to(prompt), "stop", STEPS) for prompt in done]

    def busy(self) -> bool:
        """Whether sequences run."""
        return bool(self._running)

    def cancel(self, keys: Collection[int]) -> None:
        """Forget these."""
        for key in keys:
            self._running.pop(key, None)

    def reset(self) -> None:
        """Forget all."""
        self._running = {}


def answer_to(prompt: Prompt) -> str:
    """The one right answer."""
    return hashlib.sha256(bytes(list(prompt.tokens))).hexdigest()[:16]


def _perform(text: bytes) -> None:
    if KILLS in text:
        os.kill(os.getpid(), signal.SIGKILL)
    if HANGS in text:
        time.sleep(3600)
    if RAISES in text:
        raise RuntimeError(f"cannot compute {text!r}")
    if TELLS in text:
        _tell(text)


class Panic(BaseException):
    """What a library in Rust raises when it panics: no `except Exception` sees it."""


def _tell(text: bytes) -> None:
    """Quote the text in every way in which Python and native libraries do, and end."""
    for descriptor in (1, 2):
        os.write(descriptor, b"thread panicked at byte index 5 of " + text + b"\n")
    print(text)  # noqa: T201 - what must lead nowhere
    logging.getLogger("transformers").error("cannot tokenize %r", text)
    warnings.warn(f"cannot decode {text!r}", stacklevel=1)
    raise Panic(text)


def build(_: Settings) -> StubEngine:
    """The engine for any settings."""
    return StubEngine(pause=float(os.environ.get("STUB_PAUSE", "0.001")))


def run() -> int:
    """Serve as an engine process."""
    return main(build)


if __name__ == "__main__":
    sys.exit(run())
