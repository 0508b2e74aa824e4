"""Examples of range arithmetic; `tests/property/test_reader_cover.py` has the rest."""

import pytest

from results_consumer.cover import Range, common, covered, gaps, tiling


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, 0), (3, -2)])
def test_a_range_that_is_empty_or_negative_is_misuse(first: int, count: int) -> None:
    """A range has at least one record, from 0 on."""
    with pytest.raises(ValueError, match="range"):
        Range(first, count)


def test_gaps_of_overlapping_and_outer_ranges() -> None:
    """Overlaps count once, and what lies outside the span does not count."""
    ranges = [Range(0, 6), Range(4, 4), Range(10, 2), Range(18, 9)]
    assert gaps(Range(5, 15), ranges) == (Range(8, 2), Range(12, 6))
    assert covered(Range(5, 15), ranges) == 7


def test_nothing_leaves_the_whole_span() -> None:
    """Without ranges the span itself is the gap."""
    assert gaps(Range(3, 4), []) == (Range(3, 4),)
    assert common([], Range(3, 4)) == ()


def test_tiling_prefers_one_large_range() -> None:
    """The whole beats its parts."""
    assert tiling(Range(0, 8), [Range(0, 4), Range(4, 4), Range(0, 8)]) == (Range(0, 8),)


def test_tiling_takes_no_range_that_reaches_out_of_the_span() -> None:
    """A range beyond the span is of no use, though it covers."""
    assert tiling(Range(4, 4), [Range(0, 8), Range(5, 2)]) == (Range(5, 2),)


def test_tiling_of_overlapping_ranges_leaves_a_gap() -> None:
    """Two ranges that overlap cannot both be tiles: the larger cover wins."""
    assert tiling(Range(0, 32), [Range(0, 20), Range(10, 22)]) == (Range(10, 22),)
