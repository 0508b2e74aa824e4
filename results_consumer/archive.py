"""Verifies an output file again with what `fetch --receipts` kept: no network, no key, however long ago."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from results_consumer.chunks import ChunkTable
from results_consumer.cover import Range, gaps
from results_consumer.errors import Check, IntegrityError
from results_consumer.job import check_manifest, read_chunks
from results_consumer.output_reader import LineError, ReadLine, read_line
from results_consumer.receipts import ReceiptRefused, ReceiptVerifier, Step, Subject
from results_consumer.trust import Trust
from wire import ledger
from wire.commitments import question_root, result_commitment, root_of
from wire.envelope import parse_answers
from wire.errors import LedgerError, SealError
from wire.manifest import MAX_MANIFEST, MAX_PAGE, Manifest
from wire.messages import MAX_SEALED
from wire.payload import MAX_CHUNK_RECORDS, Record
from wire.receipt import MAX_RECEIPT, Receipt
from wire.ticket import Ticket

MAX_OPENING: Final = 128 * MAX_CHUNK_RECORDS
MAX_SILENT: Final = 64 * 1024 * 1024
MAX_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What an output was found to be. Times are those of the first and last attestation document."""

    jobs: tuple[str, ...]
    records: int
    lines: int
    attested: int
    receipts: int
    images: frozenset[str]
    models: frozenset[str]
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class _Part:
    """Records under one receipt: their receipt, its digest in hexadecimal, salt and kept commitments."""

    span: Range
    receipt: Receipt
    digest: str
    salt: bytes
    results: tuple[bytes, ...]


class _Folder:
    """The evidence of one job, read with limits."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str, *, limit: int) -> bytes | None:
        """A file's first `limit + 1` bytes, or None if there is none."""
        try:
            with (self._path / name).open("rb") as file:
                return file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, folder: str) -> list[str]:
        """The names of a folder's files, in order."""
        try:
            return sorted(path.name for path in (self._path / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


class JobArchive:
    """One job's evidence, verified as it is loaded.

    Raises:
        IntegrityError: manifest, pages, a receipt or what it is about is not what it must be, or records lack both a
            receipt and the word of the bridge.
    """

    def __init__(self, path: Path, trust: Trust, ticket: Ticket | None, now: datetime) -> None:
        self._folder = _Folder(path)
        self._verifier = ReceiptVerifier(trust)
        self._now = now
        self.manifest = self._read_manifest(ticket)
        self._chunks: ChunkTable = read_chunks(
            lambda page: self._folder.get(f"pages/{page:06d}", limit=MAX_PAGE), self.manifest
        )
        self.parts = tuple(self._read_parts())
        self.silent = tuple(self._read_silent())
        self._check_cover()
        self._seen = bytearray(self.manifest.records)

    def check(self, line: ReadLine) -> None:
        """A line of output is what was signed, and stands once.

        Raises:
            IntegrityError: it is not.
        """
        where = f"record {line.number}"
        if line.number >= self.manifest.records:
            raise _refused(Step.COMPLETE, f"{where}, which the job does not have")
        if self._seen[line.number]:
            raise _refused(Step.COMPLETE, f"{where}, which stands twice")
        self._seen[line.number] = 1
        for part in self.parts:
            if part.span.first <= line.number < part.span.end:
                _check_line(line, part, where)
                return
        silent = next(item for item in self.silent if item[0].first <= line.number < item[0].end)
        if line.attested or str(line.outcome) != silent[1]:
            raise _refused(Step.RESULTS, where)

    def check_questions(self, records: Iterator[Record]) -> None:
        """The questions of an input, in order, are those that were answered.

        Raises:
            IntegrityError: they are not.
        """
        spans = {part.span.first: part for part in self.parts}
        position = 0
        while position < self.manifest.records:
            part = spans.get(position)
            count = 1 if part is None else part.span.count
            asked = list(islice(records, count))
            where = f"records {position} to {position + count - 1}"
            if len(asked) != count:
                raise _refused(Step.INPUT, f"{where}, which the input does not have")
            if part is not None and question_root(part.salt, asked) != part.receipt.question_root:
                raise _refused(Step.INPUT, where)
            position += count
        if next(records, None) is not None:
            raise _refused(Step.INPUT, f"record {position} of the input, which the job does not have")

    def check_complete(self) -> None:
        """Every record had its line.

        Raises:
            IntegrityError: some had none.
        """
        missing = [number for number, seen in enumerate(self._seen) if not seen]
        if missing:
            more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
            raise _refused(Step.COMPLETE, f"missing records {', '.join(map(str, missing[:MAX_NAMED]))}{more}")

    def _read_manifest(self, ticket: Ticket | None) -> Manifest:
        data = self._folder.get("manifest", limit=MAX_MANIFEST)
        return check_manifest(data, "manifest", ticket)

    def _read_parts(self) -> Iterator[_Part]:
        for name in self._folder.names("answers"):
            try:
                found = ledger.parse_answer_name(name)
            except LedgerError:
                raise IntegrityError(Check.OBJECT_PRESENT, f"answers/{name}") from None
            span = Range(found.first, found.count)
            if found.chunk >= len(self._chunks) or not self._chunks.span(found.chunk).holds(span):
                raise IntegrityError(Check.RANGE, f"answers/{name}")
            yield self._read_part(name, found.chunk, span)

    def _read_part(self, name: str, chunk: int, span: Range) -> _Part:
        where = f"answers/{name}"
        try:
            sealed = parse_answers(self._folder.get(where, limit=MAX_SEALED) or b"")
        except SealError:
            raise IntegrityError(Check.OBJECT_FORM, where) from None
        entry = self._chunks.entry(chunk)
        salt, results = self._read_opening(name, span.count)
        data = self._folder.get(f"receipts/{name}.cose", limit=MAX_RECEIPT) or b""
        subject = Subject(
            tenant=self.manifest.tenant,
            job=self.manifest.job,
            chunk=chunk,
            first=span.first,
            count=span.count,
            image=self.manifest.keysets[entry.keyset].image,
            questions=entry.digest,
            answers=sealed.body_digest,
            model=sealed.header.model,
            template=sealed.header.template,
            created_ms=self.manifest.created_ms,
            now=self._now,
            salt=salt,
            results=None,
        )
        try:
            receipt = self._verifier.verify(data, subject)
        except ReceiptRefused as error:
            raise IntegrityError(Check.RECEIPT, f"receipts/{name}.cose", str(error)) from None
        if root_of(results) != receipt.result_root:
            raise _refused(Step.RESULTS, f"openings/{name}.json")
        return _Part(span, receipt, hashlib.sha256(data).hexdigest(), salt, results)

    def _read_opening(self, name: str, count: int) -> tuple[bytes, tuple[bytes, ...]]:
        where = f"openings/{name}.json"
        with contextlib.suppress(ValueError, KeyError, TypeError):
            value: Any = json.loads(self._folder.get(where, limit=MAX_OPENING) or b"")
            salt, results = bytes.fromhex(value["salt"]), tuple(bytes.fromhex(text) for text in value["results"])
            if len(salt) == 32 and len(results) == count:
                return salt, results
        raise _refused(Step.RESULTS, where)

    def _read_silent(self) -> Iterator[tuple[Range, str]]:
        try:
            for item in json.loads(self._folder.get("silent.json", limit=MAX_SILENT) or b"[]"):
                yield Range(item["first"], item["count"]), str(item["outcome"])
        except (ValueError, KeyError, TypeError):
            raise _refused(Step.COMPLETE, "silent.json") from None

    def _check_cover(self) -> None:
        spans = [part.span for part in self.parts] + [span for span, _ in self.silent]
        records = self.manifest.records
        missing = gaps(Range(0, records), spans)
        if missing:
            raise _refused(Step.COMPLETE, f"records {missing[0].first} to {missing[0].end - 1}, which have no receipt")
        if sum(span.count for span in spans) != records:
            raise _refused(Step.COMPLETE, "records that have two receipts")


def verify_output(
    lines: Iterable[bytes],
    parent: Path,
    trust: Trust,
    *,
    tickets: Mapping[str, Ticket],
    partial: bool = False,
    records: Callable[[], Iterator[Record]] | None = None,
    now: datetime | None = None,
) -> ArchiveReport:
    """Verify the lines of an output with the evidence below `parent`.

    Args:
        lines: the output's lines, of one job or several, in any order.
        parent: the folder that was given to `fetch --receipts`.
        trust: the roots and releases to believe.
        tickets: tickets by job, for manifests that must be theirs.
        partial: the lines may be a selection.
        records: gives the input's records anew, to verify the questions too.
        now: the reader's time, the clock's if None.

    Raises:
        IntegrityError: the first check or step that failed, and where.
    """
    time = now or datetime.now(UTC)
    archives: dict[str, JobArchive] = {}
    count = attested = 0
    for count, data in enumerate(lines, 1):
        try:
            line = read_line(data)
        except LineError:
            raise _refused(Step.COMPLETE, f"line {count} of the output, which is none of fetch's") from None
        if line.job not in archives:
            archives[line.job] = JobArchive(parent / line.job, trust, tickets.get(line.job), time)
        archives[line.job].check(line)
        attested += line.attested
    for archive in archives.values():
        if not partial:
            archive.check_complete()
        if records is not None:
            archive.check_questions(records())
    return _report(archives, count, attested)


def _report(archives: Mapping[str, JobArchive], lines: int, attested: int) -> ArchiveReport:
    receipts = [part.receipt for archive in archives.values() for part in archive.parts]
    times = sorted(datetime.fromtimestamp(receipt.time_ms / 1000, UTC) for receipt in receipts)
    return ArchiveReport(
        jobs=tuple(archives),
        records=sum(archive.manifest.records for archive in archives.values()),
        lines=lines,
        attested=attested,
        receipts=len(receipts),
        images=frozenset(receipt.pcrs[0].hex() for receipt in receipts),
        models=frozenset(receipt.model.hex() for receipt in receipts),
        first=times[0] if times else None,
        last=times[-1] if times else None,
    )


def _check_line(line: ReadLine, part: _Part, where: str) -> None:
    result, expected = line.result, part.results[line.number - part.span.first]
    if result is None or result_commitment(part.salt, result) != expected:
        raise _refused(Step.RESULTS, where)
    if line.receipt != part.digest or (line.model is not None and line.model != part.receipt.model):
        raise _refused(Step.RESULTS, f"{where}, whose receipt or model is another")


def _refused(step: Step, where: str) -> IntegrityError:
    return IntegrityError(Check.RECEIPT, where, str(ReceiptRefused(step)))
