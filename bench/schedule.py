"""Which runs are made, in which order: rounds over all contenders, so that a slow spell meets them all."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.contenders import CONTENDERS

PAIR: Final = ("sealbatch_int8", "openvino_int8")
"""Ours and the peer to beat: these run most often."""
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of the table: a contender on a workload and a number of cores."""

    contender: str
    workload: str
    cores: int


def cells(*, full: bool, chosen: tuple[str, ...]) -> Iterator[Cell]:
    """Every run in order; a cell that comes again is another run of it.

    Without `full`, first what decides: the first workload on one core, thrice by the pair and once by all others, who
    run between the pair's rounds; then the other workloads, then what is left. Whoever calls stops when the time is up.
    """
    everyone = tuple(key for key in CONTENDERS if key in chosen)
    pair = tuple(key for key in PAIR if key in chosen)
    if full:
        for _ in range(ROUNDS):
            for workload in ("first", "answers", "prompts", "many"):
                for count in (1, 2):
                    yield from (Cell(key, workload, count) for key in everyone)
        return
    others = tuple(key for key in everyone if key not in pair)
    yield from (Cell(key, "first", count) for key in pair for count in (1, 2))
    for some in (others[: len(others) // 2], others[len(others) // 2 :]):
        yield from (Cell(key, "first", 1) for key in (*some, *pair))
    yield from (Cell(key, workload, 1) for workload in ("prompts", "answers", "many") for key in pair)
    yield from (Cell(key, "first", 2) for key in others)
    for _ in range(ROUNDS - 1):
        yield from (Cell(key, "first", 2) for key in everyone)
        yield from (Cell(key, "first", 1) for key in others)
