"""Where the engine's time goes: each of its operations is timed over the first workload."""

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.own_engine import complete, load, pack, packed_folder
from bench.workload import VOCABULARY, WORKLOADS

REST: Final = "scheduling, sampling, text"


class Timed:
    """Stands before an engine's operations and keeps how long each took in all."""

    def __init__(self, operations: Any, clock: Callable[[], float] = time.perf_counter) -> None:
        self._operations = operations
        self._clock = clock
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._operations, name)
        if not callable(operation):
            return operation

        def timed(*arguments: Any) -> Any:
            began = self._clock()
            result = operation(*arguments)
            self.seconds[_label(name, arguments)] += self._clock() - began
            return result

        return timed


def measure(model: Path, build: Path, precision: str, threads: int) -> dict[str, Any]:
    """Answer the first workload with `threads` threads; seconds and share of each operation, longest first.

    `model` is packed for `precision` under `build` if it is not yet. The whole is wall time, prompts included.
    """
    folder = packed_folder(model, build, precision)
    pack(model, folder, precision)
    engine = load(folder, precision, threads)
    vocabulary = min(VOCABULARY, engine.network.weights.shape.vocabulary)
    requests = [(one.prompt, one.answer) for one in WORKLOADS["first"].requests(vocabulary)]
    complete(engine, requests[:2])
    engine.network.operations = timed = Timed(engine.network.operations)
    began = time.perf_counter()
    answers = complete(engine, requests)
    whole = time.perf_counter() - began
    timed.seconds[REST] = whole - sum(timed.seconds.values())
    return {
        "precision": precision,
        "threads": threads,
        "seconds": whole,
        "tokens_per_second": sum(answer.completion_tokens for answer in answers) / whole,
        "parts": [
            {"operation": name, "seconds": seconds, "share": seconds / whole}
            for name, seconds in sorted(timed.seconds.items(), key=lambda part: -part[1])
        ],
    }


def _label(name: str, arguments: tuple[Any, ...]) -> str:
    """The operation's name, and of a product the sizes of its matrix."""
    if name != "linear":
        return name
    return f"linear {arguments[1].inputs} x {arguments[1].outputs}"
