"""The one place where the bench touches our engine: loads it in a precision, and drives it as the enclave does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from enclave_worker.engine import Completion, Engine, Prompt, SamplingParams
from enclave_worker.scheduler import Scheduler

Precision = Literal["fp32", "bf16", "int8"]
SEQUENCES: Final = 64
POSITIONS: Final = 32 * 1024


def load(folder: Path, precision: Precision, threads: int) -> Engine:
    """The engine on the model in `folder`.

    Raises:
        NotImplementedError: this build has no such precision.
    """
    from enclave_worker.bloom.bloom_engine import BloomEngine
    from enclave_worker.bloom.load import load_bloom
    from enclave_worker.bloom.weights import Precision as Precisions

    model = load_bloom(folder, Precisions(precision), threads=threads)
    return BloomEngine(model, max_sequences=SEQUENCES, max_positions=POSITIONS)


def complete(engine: Engine, requests: Sequence[tuple[Sequence[int], int]]) -> list[Completion]:
    """Answers to all requests (prompt, and answer length in tokens), greedily."""
    scheduler = Scheduler()
    scheduler.add(
        Prompt(key, tokens, SamplingParams(length, 0.0, 1.0, 0, ())) for key, (tokens, length) in enumerate(requests)
    )
    finished: list[Completion] = []
    while len(finished) < len(requests):
        if prompts := scheduler.take(engine.room()):
            engine.admit(prompts)
        finished += engine.step()
    return sorted(finished, key=lambda completion: completion.key)
