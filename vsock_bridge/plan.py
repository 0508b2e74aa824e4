"""In which pieces a chunk is asked for. The more often it was received, the less it is trusted to be harmless.

A chunk that came before may be what enclaves die of. Asked for in pieces, a record that kills takes fewer neighbours
with it each time: a quarter at first, then a sixteenth, down to single records, and in the end one after the other
(`vsock_bridge.trials`), so that it is plain which it was. How often a chunk was received says nothing against it: a
bridge that dies or a call that fails makes it come again too.
"""

from collections.abc import Iterable
from typing import Final

from wire.ledger import AnswerName, ChunkMessage

REST: Final = 3
"""From this receipt on, only records are asked for that have nothing in the bucket yet."""
ALONE: Final = 5
"""From this receipt on, single records are asked for, and one at a time."""
PARTS: Final = 4
"""Pieces of a range that becomes smaller with each receipt."""


def ranges(chunk: ChunkMessage, receives: int, there: Iterable[AnswerName]) -> list[tuple[int, int]]:
    """(first, count) of the pieces, in order; `there` are the chunk's answers and failures in the bucket."""
    size = 1 if receives >= ALONE else max(1, -(-chunk.count // PARTS ** (receives - 1)))
    runs = [(chunk.first, chunk.count)] if receives < REST else joined(unanswered(chunk, there))
    return [(at, min(size, first + count - at)) for first, count in runs for at in range(first, first + count, size)]


def unanswered(chunk: ChunkMessage, there: Iterable[AnswerName]) -> list[int]:
    """The chunk's records that no object in the bucket is about."""
    left = set(range(chunk.first, chunk.first + chunk.count))
    end = chunk.first + chunk.count
    for name in there:
        left.difference_update(range(max(name.first, chunk.first), min(name.first + name.count, end)))
    return sorted(left)


def joined(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending record numbers as (first, count) of runs."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and sum(runs[-1]) == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs
