"""The evidence of one job as `fetch --receipts` kept it, verified again: no network, no key, however long ago."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from results_consumer.chunks import ChunkTable
from results_consumer.cover import Range, gaps
from results_consumer.errors import Check, IntegrityError, checked
from results_consumer.manifest import check_manifest, read_chunks
from results_consumer.output_reader import ReadLine
from results_consumer.receipts import ReceiptVerifier, Subject
from results_consumer.steps import ReceiptRefused, Step
from results_consumer.trust import Trust
from wire import ledger
from wire.commitments import question_root, result_commitment, root_of
from wire.envelope import parse_answers
from wire.ledger import MAX_RETRIES
from wire.manifest import MAX_MANIFEST, MAX_PAGE, Manifest, manifest_digest
from wire.messages import MAX_CHUNK_RECORDS, MAX_SEALED
from wire.names import JOB
from wire.payload import Record
from wire.receipt import MAX_RECEIPT, Receipt
from wire.ticket import Ticket

MAX_OPENING: Final = 128 * MAX_CHUNK_RECORDS
MAX_SILENT: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """Records under one receipt: their receipt, its digest in hexadecimal, salt and kept commitments.

    `created` is when their job was made, in seconds since 1970.
    """

    span: Range
    receipt: Receipt
    digest: str
    salt: bytes
    results: tuple[bytes, ...]
    created: int

    def check_line(self, line: ReadLine, number: int, where: str) -> None:
        """A line is what was signed of record `number` of the part's job.

        Raises:
            IntegrityError: it is not.
        """
        result = None if line.result is None else replace(line.result, number=number)
        if result is None or result_commitment(self.salt, result) != self.results[number - self.span.first]:
            raise ReceiptRefused(Step.RESULTS).at(where)
        for what, said, signed in (
            ("model", line.model, self.receipt.model),
            ("chunk", line.chunk, self.receipt.chunk),
            ("time", line.created, self.created),
        ):
            if said not in (None, signed):
                raise ReceiptRefused(Step.RESULTS).at(f"{where}, whose {what} is another")


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
        self.parts = tuple(sorted(self._read_parts(), key=lambda part: part.span.first))
        self.silent = tuple(sorted(self._read_silent(), key=lambda silent: silent[0].first))
        self._check_cover()
        self.retries = _retries_of(self._folder)

    def part(self, number: int) -> Part | None:
        """The receipt that record `number` of the job is under, None if it is in the bridge's word."""
        at = bisect_right(self.parts, number, key=lambda part: part.span.first) - 1
        return self.parts[at] if at >= 0 and number < self.parts[at].span.end else None

    def said(self, number: int) -> str | None:
        """What the bridge said of record `number`, None if it is under a receipt."""
        at = bisect_right(self.silent, number, key=lambda silent: silent[0].first) - 1
        return self.silent[at][1] if at >= 0 and number < self.silent[at][0].end else None

    def check_questions(self, records: Iterator[Record]) -> None:
        """The questions of an input, in order, are those that were answered.

        Raises:
            IntegrityError: they are not.
        """
        spans = {part.span.first: part for part in self.parts}
        position = 0
        while position < self.manifest.records:
            part = spans.get(position)
            span = Range(position, 1) if part is None else part.span
            asked = list(islice(records, span.count))
            if len(asked) != span.count:
                raise ReceiptRefused(Step.INPUT).at(f"{span}, which the input does not have")
            if part is not None and question_root(part.salt, asked) != part.receipt.question_root:
                raise ReceiptRefused(Step.INPUT).at(str(span))
            position = span.end
        if next(records, None) is not None:
            raise ReceiptRefused(Step.INPUT).at(f"record {position} of the input, which the job does not have")

    def _read_manifest(self, ticket: Ticket | None) -> Manifest:
        data = self._folder.get("manifest", limit=MAX_MANIFEST)
        manifest = check_manifest(data, "manifest", ticket)
        self.ticket = Ticket(manifest.job, manifest_digest(data or b""))
        return manifest

    def _read_parts(self) -> Iterator[Part]:
        for name in self._folder.names("answers"):
            with checked(Check.OBJECT_PRESENT, f"answers/{name}"):
                found = ledger.parse_answer_name(name)
            span = Range(found.first, found.count)
            if found.chunk >= len(self._chunks) or not self._chunks.span(found.chunk).holds(span):
                raise IntegrityError(Check.RANGE, f"answers/{name}")
            yield self._read_part(name, found.chunk, span)

    def _read_part(self, name: str, chunk: int, span: Range) -> Part:
        where = f"answers/{name}"
        with checked(Check.OBJECT_FORM, where):
            sealed = parse_answers(self._folder.get(where, limit=MAX_SEALED) or b"")
        entry = self._chunks.entry(chunk)
        salt, results = self._read_opening(name, span.count)
        data = self._folder.get(f"receipts/{name}.cose", limit=MAX_RECEIPT) or b""
        subject = Subject.of(self.manifest, entry, span, sealed, now=self._now, salt=salt)
        try:
            receipt = self._verifier.verify(data, subject)
        except ReceiptRefused as error:
            raise error.at(f"receipts/{name}.cose") from None
        if root_of(results) != receipt.result_root:
            raise ReceiptRefused(Step.RESULTS).at(f"openings/{name}.json")
        created = self.manifest.created_ms // 1000
        return Part(span, receipt, hashlib.sha256(data).hexdigest(), salt, results, created)

    def _read_opening(self, name: str, count: int) -> tuple[bytes, tuple[bytes, ...]]:
        where = f"openings/{name}.json"
        salt, results = parse_opening(self._folder.get(where, limit=MAX_OPENING) or b"", where)
        if len(results) != count:
            raise ReceiptRefused(Step.RESULTS).at(where)
        return salt, results

    def _read_silent(self) -> tuple[tuple[Range, str], ...]:
        return parse_silent(self._folder.get("silent.json", limit=MAX_SILENT) or b"[]", "silent.json")

    def _check_cover(self) -> None:
        spans = [part.span for part in self.parts] + [span for span, _ in self.silent]
        records = self.manifest.records
        missing = gaps(Range(0, records), spans)
        if missing:
            raise ReceiptRefused(Step.COMPLETE).at(f"{missing[0]}, which have no receipt")
        if sum(span.count for span in spans) != records:
            raise ReceiptRefused(Step.COMPLETE).at("records that have two receipts")


def parse_opening(data: bytes, where: str) -> tuple[bytes, tuple[bytes, ...]]:
    """The salt (32 bytes) and the commitments of each result (32 bytes each) in an opening.

    Raises:
        IntegrityError: it is none.
    """
    try:
        value: Any = json.loads(data)
        salt, results = bytes.fromhex(value["salt"]), tuple(bytes.fromhex(text) for text in value["results"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ReceiptRefused(Step.RESULTS).at(where) from None
    if any(len(part) != 32 for part in (salt, *results)):
        raise ReceiptRefused(Step.RESULTS).at(where)
    return salt, results


def parse_silent(data: bytes, where: str) -> tuple[tuple[Range, str], ...]:
    """The records that are in the bridge's word, with the outcome that it said.

    Raises:
        IntegrityError: they are no list of those.
    """
    try:
        value: Any = json.loads(data)
        found = tuple((item["first"], item["count"], item["outcome"]) for item in value)
        if all(type(part) is kind for item in found for part, kind in zip(item, (int, int, str), strict=True)):
            return tuple((Range(first, count), outcome) for first, count, outcome in found)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ReceiptRefused(Step.COMPLETE).at(where)


def parse_retries(data: bytes, where: str) -> tuple[str, ...]:
    """The jobs that asked records again.

    Raises:
        IntegrityError: they are no list of those.
    """
    try:
        found = json.loads(data)
        if isinstance(found, list) and all(JOB.fullmatch(job) for job in found):
            return tuple(found)
    except (ValueError, TypeError, RecursionError):
        pass
    raise ReceiptRefused(Step.COMPLETE).at(where)


def evidence_of(folder: Path) -> list[str]:
    """The jobs whose evidence lies in a folder, those left out that are kept as retries of others.

    Raises:
        IntegrityError: a list of retries is none.
    """
    jobs = sorted(path.name for path in folder.iterdir() if JOB.fullmatch(path.name))
    retries = {retry for job in jobs for retry in _retries_of(_Folder(folder / job))}
    return [job for job in jobs if job not in retries]


def _retries_of(folder: _Folder) -> tuple[str, ...]:
    return parse_retries(folder.get("retries.json", limit=MAX_RETRIES * 32) or b"[]", "retries.json")
