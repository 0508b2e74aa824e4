"""What is written down of the ranges of one large file, each under its number."""

import base64
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import accumulate
from typing import Any, Final

from producer.ranges import Place, Range, RangeCheck
from producer.sealed_chunk import SealedChunk
from sealbatch.nightly.faults import FILE_GONE, NightError
from sealbatch.nightly.records import ItemRecords
from sealbatch.nightly.refusal import problems
from sealbatch.nightly.shelf import Record

CHECK: Final = "checked"
SEAL: Final = "uploaded"
SEND: Final = "sent"


class RangeRecords:
    """The records of all ranges of a file; `claim` is the file's own and names them.

    Every method raises OSError if the records cannot be read or written.
    """

    def __init__(self, file: ItemRecords, claim: Record) -> None:
        self._file = file
        self._claim = claim
        self.job = str(claim["job"])
        self.total = len(claim["ranges"])

    def of(self, number: int) -> ItemRecords:
        """The records of one range."""
        return self._file.range(number)

    def span(self, number: int) -> Range:
        """Which lines a range has."""
        return Range(**self._claim["ranges"][number])

    def all_have(self, name: str) -> bool:
        """Whether every range has the record `name`."""
        return all(self.of(number).get(name) is not None for number in range(self.total))

    def each(self, name: str) -> Iterator[Record]:
        """The record `name` of every range, in order.

        Raises:
            NightError: a range has none.
        """
        for number in range(self.total):
            record = self.of(number).get(name)
            if record is None:
                raise NightError(FILE_GONE)
            yield record

    def place(self, number: int) -> Place:
        """Where a range's records and chunks begin, once all are counted.

        Raises:
            NightError: a range was not counted.
        """
        checks = list(self.each(CHECK))
        firsts = [0, *accumulate(check["records"] for check in checks)]
        chunks = [0, *accumulate(check["chunks"] for check in checks)]
        return Place(self.job, firsts[number], chunks[number])


def span_record(span: Range) -> Record:
    """A range as a claim holds it."""
    return asdict(span)


def check_record(found: RangeCheck) -> Record:
    """Counts and problems of a range, with nothing that quotes it."""
    return {
        "records": found.records,
        "chunks": found.chunks,
        "problem_count": found.report.problem_count,
        "problems": problems(found.report.problems),
    }


def marks_record(found: RangeCheck) -> Record:
    """The keyed hashes of a range's custom_ids, and their lines."""
    return {"marks": text(found.marks.tobytes()), "lines": text(found.lines.tobytes())}


def marks_of(record: Record) -> "tuple[array[int], array[int]]":
    """What `marks_record` was made of."""
    marks, lines = array("Q"), array("Q")
    marks.frombytes(base64.b64decode(record["marks"]))
    lines.frombytes(base64.b64decode(record["lines"]))
    return marks, lines


def chunk_values(chunks: Iterable[SealedChunk]) -> list[list[Any]]:
    """Sealed chunks as a record holds them."""
    return [[one.number, one.offset, one.size, one.first, one.count, one.digest.hex()] for one in chunks]


def chunks_of(record: Record) -> Iterator[SealedChunk]:
    """The sealed chunks of a range's record `sealed`."""
    for number, offset, size, first, count, digest in record["chunks"]:
        yield SealedChunk(number, offset, size, first, count, bytes.fromhex(digest))


def text(data: bytes) -> str:
    """Bytes as a record holds them."""
    return base64.b64encode(data).decode()


def data_of(value: str) -> bytes:
    """What `text` was made of."""
    return base64.b64decode(value)
