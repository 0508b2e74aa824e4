"""The compact list of chunks."""

import pytest

from results_consumer.chunks import ChunkTable
from results_consumer.cover import Range
from wire.manifest import ChunkEntry

ENTRIES = tuple(ChunkEntry(n, 3 * n, 3, n % 2, bytes([n]) * 32) for n in range(5))


def filled() -> ChunkTable:
    """The five entries."""
    table = ChunkTable()
    assert all(table.append(entry) for entry in ENTRIES)
    return table


def test_entries_come_back_as_they_went_in() -> None:
    """Every field survives the compact form."""
    table = filled()
    assert tuple(table.entry(n) for n in range(len(table))) == ENTRIES
    assert (table.records, table.span(4)) == (15, Range(12, 3))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(ChunkEntry(6, 15, 1, 0, bytes(32)), id="chunk left out"),
        pytest.param(ChunkEntry(4, 15, 1, 0, bytes(32)), id="chunk again"),
        pytest.param(ChunkEntry(5, 16, 1, 0, bytes(32)), id="gap"),
        pytest.param(ChunkEntry(5, 14, 1, 0, bytes(32)), id="overlap"),
    ],
)
def test_an_entry_that_does_not_follow_is_refused(entry: ChunkEntry) -> None:
    """Nothing is added for an entry with a gap or overlap before it."""
    table = filled()
    assert not table.append(entry)
    assert (len(table), table.records) == (5, 15)
