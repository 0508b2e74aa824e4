"""In which pieces a chunk is asked for: always all of what is open, each record once, and smaller each time."""

from hypothesis import given
from hypothesis import strategies as st

from vsock_bridge.plan import ALONE, REST, joined, ranges, unanswered
from wire.ledger import AnswerName, ChunkMessage


def chunk(first: int, count: int) -> ChunkMessage:
    """A chunk of those records."""
    return ChunkMessage("a", "a" * 16, 3, first, count, bytes(32), 1, None)


chunks = st.builds(chunk, st.integers(0, 10_000), st.integers(1, 100))


def records(pieces: list[tuple[int, int]]) -> list[int]:
    """The records of pieces, in their order."""
    return [number for first, count in pieces for number in range(first, first + count)]


@given(chunks, st.integers(1, 30))
def test_pieces_cover_the_chunk_exactly(asked: ChunkMessage, receives: int) -> None:
    """However often it came, while nothing is answered all of it is asked for, in order, once."""
    assert records(ranges(asked, receives, [])) == list(range(asked.first, asked.first + asked.count))


@given(chunks, st.data())
def test_only_records_are_asked_for_that_have_nothing_yet(asked: ChunkMessage, data: st.DataObject) -> None:
    """What an object is about, whatever its range, is left out; foreign ranges do no harm."""
    spans = st.tuples(st.integers(0, 10_200), st.integers(1, 2**40))
    there = [AnswerName(3, first, count, None) for first, count in data.draw(st.lists(spans, max_size=5))]
    covered = {
        number
        for number in range(asked.first, asked.first + asked.count)
        if any(name.first <= number < name.first + name.count for name in there)
    }
    pieces = ranges(asked, data.draw(st.integers(REST, 20)), there)
    assert set(records(pieces)) == set(range(asked.first, asked.first + asked.count)) - covered


@given(chunks, st.integers(ALONE, 20))
def test_in_the_end_single_records_are_asked_for(asked: ChunkMessage, receives: int) -> None:
    """So that it is plain which one an enclave dies of."""
    assert all(count == 1 for _, count in ranges(asked, receives, []))


def test_a_chunk_is_whole_then_quarters_then_sixteenths() -> None:
    """The first time nothing is suspected."""
    assert ranges(chunk(64, 32), 1, []) == [(64, 32)]
    assert ranges(chunk(64, 32), 2, []) == [(64 + 8 * n, 8) for n in range(4)]
    assert ranges(chunk(64, 32), 3, []) == [(64 + 2 * n, 2) for n in range(16)]


@given(chunks)
def test_runs_are_joined(asked: ChunkMessage) -> None:
    """One failure object for neighbours."""
    assert joined(unanswered(asked, [])) == [(asked.first, asked.count)]
    assert joined([1, 2, 4, 7, 8, 9]) == [(1, 2), (4, 1), (7, 3)]
