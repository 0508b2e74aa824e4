"""What lies in the bucket for a job, by names alone: cheap, unverified, and enough to show progress."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Final

from results_consumer.bucket import Bucket
from results_consumer.cover import Range, covered, gaps, total
from results_consumer.job import Job
from wire import ledger
from wire.errors import LedgerError
from wire.ledger import AnswerName

MAX_NAMES: Final = 16_384
"""Names of one chunk that are looked at: four times the records that a chunk can have. Only an attacker makes more."""
MAX_RANGES_TOLD: Final = 100
"""Missing ranges that are kept for the telling; all are counted."""

_log = logging.getLogger("sealbatch.results_consumer")


@dataclass(frozen=True, slots=True)
class ChunkObjects:
    """The names that lie in the bucket for a chunk, those of ranges outside it left out.

    `answers` are in the order of listing: of each range the plain key first, then the alternatives.
    """

    chunk: int
    span: Range
    answers: tuple[AnswerName, ...]
    failures: tuple[AnswerName, ...]

    @property
    def missing(self) -> tuple[Range, ...]:
        """The records that nothing lies there for."""
        return gaps(self.span, map(span_of, chain(self.answers, self.failures)))


@dataclass(frozen=True, slots=True)
class Coverage:
    """Records of a job by what lies in the bucket for them.

    `answered` have an answer object, `failed` only a failure object, `missing_records` neither; `missing` holds the
    first `MAX_RANGES_TOLD` ranges of those. `chunks_done` have nothing missing.
    """

    records: int
    answered: int
    failed: int
    chunks_done: int
    missing: tuple[Range, ...]
    missing_records: int


def scan(bucket: Bucket, job: Job, first: int = 0) -> Iterator[ChunkObjects]:
    """Every chunk of the job from `first` on, in order with what lies there for it, in the memory of one chunk.

    Raises:
        ServiceError: S3 does not list the bucket.
    """
    manifest = job.manifest
    answers = _ByChunk(bucket, ledger.answer_prefix(manifest.tenant, manifest.job), job, first)
    failures = _ByChunk(bucket, ledger.failure_prefix(manifest.tenant, manifest.job), job, first)
    for chunk in range(first, len(job.chunks)):
        yield ChunkObjects(chunk, job.chunks.span(chunk), answers.take(chunk), failures.take(chunk))


def measure(bucket: Bucket, job: Job) -> Coverage:
    """Count what lies in the bucket: a LIST for every 1000 objects and nothing else.

    Raises:
        ServiceError: S3 does not list the bucket.
    """
    answered = failed = done = missing_records = 0
    missing: list[Range] = []
    for found in scan(bucket, job):
        here, missing_here = covered(found.span, map(span_of, found.answers)), found.missing
        answered += here
        failed += found.span.count - here - total(missing_here)
        done += not missing_here
        missing_records += total(missing_here)
        missing = _joined(missing, missing_here)
    return Coverage(job.manifest.records, answered, failed, done, tuple(missing), missing_records)


def span_of(name: AnswerName) -> Range:
    """The records that a name is about."""
    return Range(name.first, name.count)


class _ByChunk:
    """The names behind a prefix, taken chunk by chunk in ascending order, from the chunk `first` on."""

    def __init__(self, bucket: Bucket, prefix: str, job: Job, first: int) -> None:
        names = _parsed(bucket.names(prefix, f"{first:08d}" if first else ""), job)
        self._groups = groupby(names, key=lambda name: name.chunk)
        self._head = next(self._groups, None)

    def take(self, chunk: int) -> tuple[AnswerName, ...]:
        """The names of `chunk`; the chunks before it are gone."""
        while self._head is not None and self._head[0] < chunk:
            self._head = next(self._groups, None)
        if self._head is None or self._head[0] != chunk:
            return ()
        names = tuple(islice(self._head[1], MAX_NAMES + 1))
        if len(names) > MAX_NAMES:
            _log.warning(
                "too many objects chunk=%d kept=%d: so many answers of one chunk nobody of ours writes; see who writes "
                "to the bucket",
                chunk,
                MAX_NAMES,
            )
        return names[:MAX_NAMES]


def _parsed(names: Iterator[str], job: Job) -> Iterator[AnswerName]:
    """What we could have named so; whatever else lies there is of no concern."""
    for text in names:
        try:
            name = ledger.parse_answer_name(text)
        except LedgerError:
            continue
        if name.chunk < len(job.chunks) and job.chunks.span(name.chunk).holds(span_of(name)):
            yield name


def _joined(known: list[Range], following: tuple[Range, ...]) -> list[Range]:
    """`known` with what follows, ranges that touch made one, up to the limit."""
    for item in following:
        if known and known[-1].end == item.first:
            known[-1] = Range(known[-1].first, known[-1].count + item.count)
        elif len(known) < MAX_RANGES_TOLD:
            known.append(item)
    return known
