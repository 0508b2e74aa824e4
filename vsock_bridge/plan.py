"""In which pieces a chunk is asked for. The more often it was received, the less it is trusted to be harmless.

A chunk that came before may be what enclaves die of. Asked for in pieces, a record that kills takes fewer neighbours
with it each time: eighths at first, then single records, and in the end one after the other, so that it is plain which
it was.
"""

from collections.abc import Iterable
from typing import Final

from wire.ledger import AnswerName, ChunkMessage

CUT: Final = 2
"""From this receipt on, a chunk is asked for in eighths."""
SINGLE: Final = 3
"""From this receipt on, in single records, and only those that have nothing in the bucket yet."""
ALONE: Final = 5
"""From this receipt on, one record at a time."""
GIVE_UP: Final = 8
"""From this receipt on, a record that an enclave is lost with is given up. SQS's own limit has to be higher."""
PARTS: Final = 8


def ranges(chunk: ChunkMessage, receives: int, there: Iterable[AnswerName]) -> list[tuple[int, int]]:
    """(first, count) of the pieces, in order; `there` are the chunk's answers and failures in the bucket."""
    if receives < CUT:
        return [(chunk.first, chunk.count)]
    if receives < SINGLE:
        size = -(-chunk.count // PARTS)
        return [
            (first, min(size, chunk.first + chunk.count - first))
            for first in range(chunk.first, chunk.first + chunk.count, size)
        ]
    return [(number, 1) for number in unanswered(chunk, there)]


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
