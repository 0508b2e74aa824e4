"""Takes some records of an input, for a job that repeats them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from producer.problem import Problem
from wire.payload import Record


def chosen(items: Iterable[Record | Problem], ranges: Iterable[tuple[int, int]]) -> Iterator[Record | Problem]:
    """The records in `ranges`, ascending (first, count), numbered anew from 0; line and custom_id stay.

    A problem that ends the whole input passes; others are of lines that have had their answer. That the input is the
    first job's own is for the caller to see to.
    """
    left = iter(ranges)
    first, count = next(left, (-1, 0))
    number = 0
    for item in items:
        if isinstance(item, Problem):
            if item.fatal:
                yield item
            continue
        while first >= 0 and item.number >= first + count:
            first, count = next(left, (-1, 0))
        if first >= 0 and item.number >= first:
            yield replace(item, number=number)
            number += 1
