"""Fetch a job: verify everything, write one line for each line of input, or write nothing."""

import enum
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from results_consumer.bucket import Bucket
from results_consumer.clients import KmsClient, S3Client
from results_consumer.completeness import leaf_of
from results_consumer.cover import total
from results_consumer.coverage import scan
from results_consumer.errors import JobNotFinished
from results_consumer.evidence import EvidenceFolder
from results_consumer.job import Job, open_job
from results_consumer.lines import Lines
from results_consumer.match import InputMatch
from results_consumer.output import ANSWERED, OutputForm, OutputLine, encode_head, encode_line
from results_consumer.prefetch import ordered
from results_consumer.retries import Repeated, merged, open_retries
from results_consumer.reveal import PinnedChunk, Revealed, Revealer, open_ended, pin
from results_consumer.settings import ReaderSettings
from results_consumer.sink import Sink
from results_consumer.status import clock_ms
from results_consumer.tally import FetchSummary, Tally
from results_consumer.verify import Verified
from wire.payload import Outcome
from wire.ticket import Ticket

THREADS: Final = 8
"""Chunks that are fetched at the same time, and the most that are in memory: a sealed chunk has at most 12 MiB."""

_log = logging.getLogger("sealbatch.results_consumer")


class Only(enum.StrEnum):
    """Which lines are written; all are verified and counted."""

    OK = "ok"
    FAILED = "failed"
    TRUNCATED = "truncated"
    ANSWERED = "answered"
    """Both ok and truncated."""


_WANTED: Final = {
    Only.OK: frozenset({Outcome.SUCCEEDED}),
    Only.TRUNCATED: frozenset({Outcome.TRUNCATED}),
    Only.ANSWERED: ANSWERED,
    Only.FAILED: frozenset(Outcome) - ANSWERED,
}


def is_wanted(line: OutputLine, only: Only | None) -> bool:
    """Whether a line is written."""
    return only is None or line.outcome in _WANTED[only]


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """`done` of `total` records are verified, or in the second pass over a stream written; how many of each outcome."""

    done: int
    total: int
    writing: bool
    outcomes: dict[str, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How a job is fetched.

    `inputs` gives, each time that it is called, the (line, custom_id) of each record of the input in order: every
    output line must match then. `receipts` is the folder in which what proves the job is kept, under the job's id; one
    that is there already is replaced if `replace_receipts` is set.
    """

    form: OutputForm = OutputForm.JSONL
    only: Only | None = None
    inputs: Callable[[], Iterator[tuple[int, str]]] | None = None
    receipts: Path | None = None
    replace_receipts: bool = False


def fetch(
    s3: S3Client,
    kms: KmsClient,
    settings: ReaderSettings,
    ticket: Ticket,
    sink: Sink,
    *,
    options: FetchOptions | None = None,
    told: Callable[[FetchProgress], None] = lambda _: None,
    now_ms: int | None = None,
) -> FetchSummary:
    """Verify the whole job and write its lines to `sink`, in the order of the input.

    A sink that can be taken back is written while verifying. Any other gets its first byte after the last check; the
    objects are then read a second time and must be the same. `told` is called in the caller's thread after each chunk.
    `now_ms` is the clock's if None.

    Raises:
        IntegrityError: anything is not as the ticket says.
        JobNotFinished: records have no outcome yet.
        ServiceError: S3 or KMS refuse or do not answer.
        SinkError: the output cannot be written.
    """
    now = clock_ms() if now_ms is None else now_ms
    options = options or FetchOptions()
    with sink:
        job = open_job(s3, settings, ticket)
        bucket = Bucket(s3, settings.bucket)
        revealer = open_ended(bucket, kms, job, settings.trust, now)
        retries = open_retries(s3, kms, settings, revealer, ticket=ticket, now_ms=now)
        with ExitStack() as stack:
            evidence = _evidence(stack, job, retries, options)
            fetching = _Fetching(bucket, revealer, retries, options, evidence, told=told)
            summary = (fetching.in_one_pass if sink.revocable else fetching.in_two_passes)(sink)
            for folder in evidence.values():
                folder.commit()
        sink.commit()
    _log.info("fetched job=%s records=%d ignored=%d", summary.job, summary.records, summary.ignored)
    return summary


def _evidence(stack: ExitStack, job: Job, retries: list[Repeated], options: FetchOptions) -> dict[str, EvidenceFolder]:
    """By job, a folder for each retry, and at last the job's own; none if nothing is to be kept."""
    if options.receipts is None:
        return {}
    parent, overwrite = options.receipts, options.replace_receipts
    children = [repeated.revealer.job for repeated in retries]
    names = [child.manifest.job for child in children]
    folders = [EvidenceFolder(parent, child, overwrite=overwrite) for child in children]
    folders.append(EvidenceFolder(parent, job, overwrite=overwrite, retries=names))
    return {name: stack.enter_context(folder) for name, folder in zip([*names, job.manifest.job], folders, strict=True)}


class _Fetching:
    """One fetch of one job: walks over its chunks, once or twice."""

    def __init__(
        self,
        bucket: Bucket,
        revealer: Revealer,
        retries: list[Repeated],
        options: FetchOptions,
        evidence: dict[str, EvidenceFolder],
        *,
        told: Callable[[FetchProgress], None],
    ) -> None:
        self._bucket = bucket
        self._revealer = revealer
        self._retries = retries
        self._options = options
        self._evidence = evidence
        self._told = told

    def in_one_pass(self, sink: Sink) -> FetchSummary:
        """Write while verifying: the sink takes it back if a later chunk fails."""
        sink.write(encode_head(self._options.form))
        return self._walk(self._verifying(self._revealer), sink)

    def in_two_passes(self, sink: Sink) -> FetchSummary:
        """Verify all and keep digests only, since the answers may not fit into memory; then write."""
        pinned: list[PinnedChunk] = []
        verified = self._walk(self._verifying(self._revealer), None, pinned)
        self._evidence = {}  # all is kept by now, and retries are verified once more
        sink.write(encode_head(self._options.form))
        written = self._walk(ordered(self._revealer.replay, pinned, threads=THREADS), sink)
        return replace(written, ignored=verified.ignored)

    def _verifying(self, revealer: Revealer) -> Generator[Revealed]:
        manifest = revealer.job.manifest
        folder = self._evidence.get(manifest.job)
        with closing(ordered(revealer.reveal, scan(self._bucket, revealer.job), threads=THREADS)) as chunks:
            for revealed in chunks:
                if revealed.missing:
                    # All was there when it was listed, so somebody took something away since.
                    raise JobNotFinished(revealed.missing, total(revealed.missing), manifest.records)
                if folder is not None:
                    for part in revealed.parts:
                        folder.keep(revealed.chunk, part)
                yield revealed

    def _walk(
        self, chunks: Generator[Revealed], sink: Sink | None, pinned: list[PinnedChunk] | None = None
    ) -> FetchSummary:
        tally, job = Tally(), self._revealer.job
        match = None if self._options.inputs is None else InputMatch(self._options.inputs())
        writing, records = sink is not None and not sink.revocable, job.manifest.records

        def tell() -> None:
            self._told(FetchProgress(tally.records, records, writing, tally.outcomes))

        lines = self._lines(job, chunks, tally, pinned, tell)
        with closing(merged(lines, self._retries, self._repeat)) as all_lines:
            for line in all_lines:
                self._take(line if match is None else match.matched(line), tally, sink)
        if match is not None:
            match.end()
        return tally.summary(job.manifest.job)

    def _lines(
        self,
        job: Job,
        chunks: Generator[Revealed],
        tally: Tally,
        pinned: list[PinnedChunk] | None = None,
        told: Callable[[], None] = lambda: None,
    ) -> Generator[OutputLine]:
        """The lines of one job, chunk by chunk."""
        lines = Lines(job)
        with closing(chunks):
            for revealed in chunks:
                for part in revealed.parts:
                    tally.add_part(leaf_of(revealed.chunk, part), receipt=isinstance(part, Verified))
                yield from lines.of(revealed)
                tally.ignored += revealed.ignored
                if pinned is not None:
                    pinned.append(pin(revealed))
                told()

    def _repeat(self, revealer: Revealer) -> Generator[OutputLine]:
        """The lines of a retry, verified each time that they are read."""
        return self._lines(revealer.job, self._verifying(revealer), Tally())

    def _take(self, line: OutputLine, tally: Tally, sink: Sink | None) -> None:
        tally.add(line)
        if sink is not None and is_wanted(line, self._options.only):
            sink.write(encode_line(line, self._options.form))
            tally.written += 1
