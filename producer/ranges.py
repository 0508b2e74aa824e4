"""One large file in ranges on line boundaries, each checked and sealed by itself, by many processes.

A range is sealed into a file of sealed bytes before any of them is uploaded. Whoever finds that file can upload it, and
upload it again, so a range that was begun twice still has one seal, and no key passes between processes.
"""

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from producer.chunks import ChunkLimits, split
from producer.forms import InputForm
from producer.hashed_source import HashedSource
from producer.keyset import Keyset
from producer.parallel import run_parallel
from producer.questions import read_records
from producer.sealed_chunk import SealedChunk
from producer.sealing import seal_chunk
from producer.settings import ProducerSettings
from producer.store import JobStore
from producer.validate import Tally, ValidationReport
from wire import ledger
from wire.manifest import MAX_KEYSETS
from wire.payload import Params, Record

MAX_RANGES: Final = MAX_KEYSETS - 1
"""Each range may have a keyset of its own, and the manifest's signer has another."""
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Range:
    """The lines that begin at the bytes `begin` to `end` - 1 of a file; the first of them is line `line`, from 1."""

    begin: int
    end: int
    line: int
    digest: str


def plan_ranges(file: BinaryIO, size: int, range_size: int) -> tuple[str, list[Range]]:
    """Read the file once: its SHA-256, and its ranges of about `range_size` bytes, each with its own.

    Raises:
        OSError: reading failed.
    """
    step = max(range_size, -(-size // MAX_RANGES))
    whole, ranges = hashlib.sha256(), []
    begin = position = 0
    line = lines = 1
    part = hashlib.sha256()
    while data := file.read(_BLOCK):
        whole.update(data)
        while position + len(data) - begin >= step:
            # The range ends behind the first end of a line at or after its nominal end.
            end = data.find(b"\n", max(0, begin + step - 1 - position)) + 1
            if not end:
                break
            part.update(data[:end])
            lines += data.count(b"\n", 0, end)
            ranges.append(Range(begin, position + end, line, part.hexdigest()))
            begin, line, part = position + end, lines, hashlib.sha256()
            position, data = begin, data[end:]
        part.update(data)
        lines += data.count(b"\n")
        position += len(data)
    if position > begin:
        ranges.append(Range(begin, position, line, part.hexdigest()))
    return whole.hexdigest(), ranges


def lines_of(file: BinaryIO, span: Range) -> HashedSource:
    """The lines of one range of a file."""
    file.seek(span.begin)
    return HashedSource(file, span.end - span.begin)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the lines of a range are read and cut into chunks."""

    form: InputForm
    defaults: Params
    limits: ChunkLimits


@dataclass(frozen=True, slots=True)
class RangeCheck:
    """What a range holds: counts, problems, and a keyed 64-bit hash of each custom_id with its line."""

    records: int
    chunks: int
    report: ValidationReport
    marks: "array[int]"
    lines: "array[int]"
    digest: str


def check_range(file: BinaryIO, span: Range, reading: Reading, mark_key: bytes) -> RangeCheck:
    """Check and count a range without sealing anything.

    Raises:
        OSError: reading failed.
    """
    source = lines_of(file, span)
    tally, marks, lines = Tally(), array("Q"), array("Q")

    def counted() -> Iterator[Record]:
        for item in _records(source, span, reading, tally):
            marks.append(_mark(item.custom_id, mark_key))
            lines.append(item.line)
            yield item

    chunks = sum(1 for _ in split(counted(), reading.limits))
    return RangeCheck(len(marks), chunks, tally.report(), marks, lines, source.digest())


def find_duplicate(checks: "Iterable[tuple[array[int], array[int]]]") -> tuple[int, int] | None:
    """The first two lines of different ranges that have the same custom_id; `checks` are marks and lines, in order."""
    marks, lines = array("Q"), array("Q")
    for more_marks, more_lines in checks:
        marks.extend(more_marks)
        lines.extend(more_lines)
    # Sorting five million of them takes seconds and little memory; a table of them would take a gigabyte.
    twice = next((one for one, other in pairwise(sorted(marks)) if one == other), None)
    if twice is None:
        return None
    first = marks.index(twice)
    return lines[first], lines[marks.index(twice, first + 1)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a range's records and chunks begin in the job."""

    job: str
    first_record: int
    first_chunk: int


def seal_range(
    file: BinaryIO,
    span: Range,
    reading: Reading,
    out: BinaryIO,
    *,
    place: Place,
    keyset: Keyset,
    settings: ProducerSettings,
) -> tuple[list[SealedChunk], str]:
    """Seal a range that was checked into `out`; its chunks, and the SHA-256 of its lines.

    Raises:
        OSError: reading or writing failed.
        ValueError: the range has a problem, so it is not what was checked.
    """
    source = lines_of(file, span)
    tally = Tally()
    chunks: list[SealedChunk] = []
    offset = 0
    records = _records(source, span, reading, tally, first_number=place.first_record)
    for number, chunk in enumerate(split(records, reading.limits), place.first_chunk):
        sealed = seal_chunk(keyset, settings, place.job, number, chunk)
        out.write(sealed)
        digest = hashlib.sha256(sealed).digest()
        chunks.append(SealedChunk(number, offset, len(sealed), chunk[0].number, len(chunk), digest))
        offset += len(sealed)
    if tally.problem_count:
        raise ValueError("the range is not what was checked")
    return chunks, source.digest()


def upload_range(path: Path, chunks: Iterable[SealedChunk], store: JobStore, tenant: str, job: str) -> None:
    """Put the sealed chunks of a range into the bucket; those that are there already stay.

    Raises:
        OSError: the file cannot be read.
        ServiceError: a chunk could not be written, or another one is there.
    """
    with path.open("rb") as file:

        def put(chunk: SealedChunk) -> None:
            store.put(ledger.question_key(tenant, job, chunk.number), read_chunk(file, chunk))

        run_parallel(put, chunks, lambda _: None)


def read_chunk(file: BinaryIO, chunk: SealedChunk) -> bytes:
    """The sealed bytes of a chunk.

    Raises:
        OSError: the file cannot be read or was cut.
    """
    data = os.pread(file.fileno(), chunk.size, chunk.offset)
    if hashlib.sha256(data).digest() != chunk.digest:
        raise OSError("the file of sealed chunks was changed")
    return data


def _records(
    source: HashedSource, span: Range, reading: Reading, tally: Tally, first_number: int = 0
) -> Iterator[Record]:
    """The range's valid records; everything is counted into `tally`."""
    items = read_records(
        source, reading.form, reading.defaults, notes=tally.notes, first_line=span.line, first_number=first_number
    )
    for item in items:
        if isinstance(item, Record):
            tally.add(item)
            yield item
        elif not (item.fatal and tally.records == 0 and item.code == "empty_file"):
            # A range of blank lines is no fault; a file of nothing else is one, which its records show.
            tally.add(item)


def _mark(custom_id: str, key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(custom_id.encode(), digest_size=8, key=key).digest(), "little")
