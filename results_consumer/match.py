"""Compares the output with the input file, where the reader has it."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from results_consumer.errors import Check, IntegrityError
from results_consumer.output import OutputLine

MAX_NAMED: Final = 10
"""Of each kind of difference, how many are named; all are counted."""


class InputMatch:
    """Walks along the input, one (line, custom_id) for each record of the job, in the order of record numbers.

    After the first difference it goes on to the end, so that `end` can say what is missing, unexpected and repeated.
    """

    def __init__(self, pairs: Iterator[tuple[int, str]]) -> None:
        self._pairs = pairs
        self._seen: set[int] = set()
        self._expected: dict[tuple[int, str], int] = {}
        self._found: list[tuple[int, tuple[int, str]]] = []

    def matched(self, line: OutputLine) -> OutputLine:
        """The output line of the next record, with the input's line and custom_id where only the input has them."""
        pair = next(self._pairs, None)
        if pair is not None and (not line.attested or (line.line, line.custom_id) == pair):
            self._seen.add(hash(pair))
            return replace(line, line=pair[0], custom_id=pair[1])
        if pair is not None:
            self._expected[pair] = pair[0]
        self._found.append((line.number, (line.line or 0, line.custom_id or "")))
        return line

    def skip(self, count: int) -> None:
        """Pass over the pairs of records that were matched before."""
        for pair in islice(self._pairs, count):
            self._seen.add(hash(pair))

    def refuse_difference(self) -> None:
        """Nothing that was seen so far differs.

        Raises:
            IntegrityError: something does.
        """
        if self._found:
            numbers = [number for number, _ in self._found]
            raise IntegrityError(Check.INPUT, named("record that is not the input's", numbers))

    def end(self) -> None:
        """The set of outcomes is the set of inputs.

        Raises:
            IntegrityError: it is not; named are input lines that are missing, and records that are unexpected or
                repeated, by their numbers and not by what they say.
        """
        for pair in self._pairs:
            self._expected[pair] = pair[0]
        if not self._expected and not self._found:
            return
        found = Counter(pair for _, pair in self._found)
        missing = [line for pair, line in self._expected.items() if pair not in found]
        counted: set[tuple[int, str]] = set()
        unexpected, repeated = [], []
        for number, pair in self._found:
            if hash(pair) in self._seen or pair in counted:
                repeated.append(number)
            elif pair not in self._expected:
                unexpected.append(number)
            counted.add(pair)
        told = (("missing input line", missing), ("unexpected record", unexpected), ("repeated record", repeated))
        text = "; ".join(named(what, numbers) for what, numbers in told if numbers)
        raise IntegrityError(Check.INPUT, text or "records in another order than the input's")


class CountedPairs:
    """The input's pairs of line and custom_id, and the digest of those that were taken."""

    def __init__(self, pairs: Iterator[tuple[int, str]]) -> None:
        self._pairs = pairs
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for pair in self._pairs:
            self._hash.update(f"{pair[0]} {pair[1]}\n".encode())
            yield pair

    def digest(self) -> str:
        """In hexadecimal."""
        return self._hash.hexdigest()


def named(what: str, numbers: Iterable[int]) -> str:
    """The first `MAX_NAMED` of some numbers, of `what`, and how many more there are."""
    found = sorted(numbers)
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return f"{what}{'s' if len(found) > 1 else ''} {', '.join(map(str, found[:MAX_NAMED]))}{more}"
