"""Range arithmetic against sets of record numbers."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results_consumer.cover import Range, common, covered, gaps, tiling, total

RANGES = st.builds(Range, st.integers(0, 24), st.integers(1, 12))
SPANS = st.builds(Range, st.integers(0, 12), st.integers(1, 16))


def numbers(*ranges: Range) -> set[int]:
    """The records of ranges."""
    return {number for item in ranges for number in range(item.first, item.end)}


@given(SPANS, st.lists(RANGES, max_size=12))
def test_gaps_are_exactly_what_no_range_covers(span: Range, ranges: list[Range]) -> None:
    """Gaps are ascending, never touch, and with the ranges make up the span."""
    found = gaps(span, ranges)
    assert numbers(*found) == numbers(span) - numbers(*ranges)
    assert total(found) == len(numbers(*found))
    assert all(one.end < two.first for one, two in pairwise(found))
    assert covered(span, ranges) == len(numbers(span) & numbers(*ranges))


@given(SPANS, st.lists(RANGES, max_size=12))
def test_common_is_the_intersection_with_each(span: Range, ranges: list[Range]) -> None:
    """Nothing but what both have."""
    assert numbers(*common(ranges, span)) == numbers(*ranges) & numbers(span)


@given(RANGES, RANGES)
def test_holds_and_meets_are_set_relations(one: Range, two: Range) -> None:
    """Inside is subset, meeting is a record in common."""
    assert one.holds(two) == (numbers(two) <= numbers(one))
    assert one.meets(two) == bool(numbers(one) & numbers(two))


@given(SPANS, st.sets(RANGES, max_size=9))
def test_tiling_is_the_best_of_all_choices(span: Range, ranges: set[Range]) -> None:
    """Of all disjoint choices inside the span it covers the most records, and does so with the fewest tiles."""
    inside = [item for item in ranges if span.holds(item)]
    best = max(
        (total(choice), -len(choice))
        for size in range(len(inside) + 1)
        for choice in combinations(inside, size)
        if total(choice) == len(numbers(*choice))
    )
    tiles = tiling(span, ranges)
    assert set(tiles) <= set(inside)
    assert list(tiles) == sorted(tiles)
    assert total(tiles) == len(numbers(*tiles))
    assert (total(tiles), -len(tiles)) == best


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, 0), (3, -2)])
def test_a_range_that_is_empty_or_negative_is_misuse(first: int, count: int) -> None:
    """A range has at least one record, from 0 on."""
    with pytest.raises(ValueError, match="range"):
        Range(first, count)
