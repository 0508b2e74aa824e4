"""Arithmetic of record ranges: what covers what, without gap and without overlap."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Records `first` to `end - 1` of a job; never empty."""

    first: int
    count: int

    def __post_init__(self) -> None:
        if self.first < 0 or self.count < 1:
            raise ValueError("a range begins at 0 or later and has at least one record")

    def __str__(self) -> str:
        return f"records {self.first} to {self.end - 1}"

    @property
    def end(self) -> int:
        """The first record behind the range."""
        return self.first + self.count

    def holds(self, other: "Range") -> bool:
        """Whether `other` lies inside."""
        return self.first <= other.first and other.end <= self.end

    def meets(self, other: "Range") -> bool:
        """Whether the two have a record in common."""
        return self.first < other.end and other.first < self.end


def between(first: int, end: int) -> tuple[Range, ...]:
    """The range from `first` up to `end`, or nothing if that is empty."""
    return (Range(first, end - first),) if first < end else ()


def common(ranges: Iterable[Range], other: Range) -> tuple[Range, ...]:
    """What each of `ranges` has in common with `other`."""
    return tuple(part for item in ranges for part in between(max(item.first, other.first), min(item.end, other.end)))


def gaps(span: Range, ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The parts of `span` that no range covers, in order. Ranges may overlap, and reach beyond `span`."""
    found: list[Range] = []
    position = span.first
    for item in sorted(ranges):
        found += between(position, min(item.first, span.end))
        position = max(position, item.end)
    return (*found, *between(position, span.end))


def total(ranges: Iterable[Range]) -> int:
    """Records in ranges that do not overlap."""
    return sum(item.count for item in ranges)


def covered(span: Range, ranges: Iterable[Range]) -> int:
    """How many records of `span` lie in at least one range."""
    return span.count - total(gaps(span, ranges))


def tiling(span: Range, ranges: Collection[Range]) -> tuple[Range, ...]:
    """Ranges inside `span` that do not overlap and cover the most records; among those choices the fewest, in order.

    The best from each boundary to the end, computed from behind: time and memory grow with the number of ranges.
    """
    starting: dict[int, list[Range]] = {}
    for item in ranges:
        if span.holds(item):
            starting.setdefault(item.first, []).append(item)
    points = sorted({span.end, *starting, *(item.end for items in starting.values() for item in items)})
    best: dict[int, tuple[int, int]] = {span.end: (0, 0)}  # records covered, and minus the number of tiles
    chosen: dict[int, Range | None] = {}
    following = span.end
    for point in reversed(points[:-1]):
        best[point], chosen[point] = best[following], None
        for item in starting.get(point, ()):
            records, tiles = best[item.end]
            if (records + item.count, tiles - 1) > best[point]:
                best[point], chosen[point] = (records + item.count, tiles - 1), item
        following = point
    return _walk(points, chosen)


def _walk(points: list[int], chosen: dict[int, Range | None]) -> tuple[Range, ...]:
    tiles: list[Range] = []
    for point in points[:-1]:
        item = chosen[point]
        if item is not None and (not tiles or point >= tiles[-1].end):
            tiles.append(item)
    return tuple(tiles)
