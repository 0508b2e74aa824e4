"""Verifies an output file again with the evidence of its jobs and of their retries."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from results_consumer.archive import JobArchive
from results_consumer.errors import Check, IntegrityError
from results_consumer.match import named
from results_consumer.output import ANSWERED
from results_consumer.output_reader import LineError, ReadLine, read_line
from results_consumer.row_reader import read_rows
from results_consumer.steps import ReceiptRefused, Step
from results_consumer.trust import Trust
from wire.payload import Record
from wire.ticket import Ticket

TOLD_EVERY: Final = 64
"""Lines between two words of progress."""


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


def verify_output(
    lines: Iterable[bytes],
    parent: Path,
    trust: Trust,
    *,
    tickets: Mapping[str, Ticket],
    csv_of: str | None = None,
    partial: bool = False,
    records: Callable[[], Iterator[Record]] | None = None,
    now: datetime | None = None,
    told: Callable[[int, int], None] = lambda _done, _records: None,
) -> ArchiveReport:
    """Verify the lines of an output with the evidence below `parent`.

    Args:
        lines: the output's lines, of one job or several, in any order.
        parent: the folder that was given to `fetch --receipts`.
        trust: the roots and releases to believe.
        tickets: tickets by job, for manifests that must be theirs.
        csv_of: the lines are a CSV with all records of this job, and no lines of JSON.
        partial: the lines may be a selection.
        records: gives the input's records anew, to verify the questions too.
        now: the reader's time, the clock's if None.
        told: is told now and then how many lines are verified, and how many records the jobs seen so far have.

    Raises:
        IntegrityError: the first check or step that failed, and where.
    """
    time = now or datetime.now(UTC)
    outputs: dict[str, _Output] = {}
    count = attested = 0
    found = ((read_line(data),) for data in lines) if csv_of is None else read_rows(lines, csv_of)
    try:
        for spellings in found:
            job = spellings[0].job
            if job not in outputs:
                outputs[job] = _Output(parent, trust, tickets, time, job)
            outputs[job].check(spellings)
            attested += spellings[0].attested
            count += 1
            if count % TOLD_EVERY == 0:
                told(count, sum(output.first.manifest.records for output in outputs.values()))
    except LineError:
        raise ReceiptRefused(Step.COMPLETE).at(f"line {count + 1} of the output, which is none of fetch's") from None
    for output in outputs.values():
        if not partial:
            output.check_complete()
        if records is not None:
            output.check_questions(records)
    return _report(outputs, count, attested)


class _Output:
    """The lines of one job, each of its own evidence or of that of a retry.

    Raises:
        IntegrityError: a job's evidence does not stand its checks, or one that is kept as a retry is none of this job.
    """

    def __init__(self, parent: Path, trust: Trust, tickets: Mapping[str, Ticket], now: datetime, job: str) -> None:
        self.first = JobArchive(parent / job, trust, tickets.get(job), now)
        children = [JobArchive(parent / child, trust, tickets.get(child), now) for child in self.first.retries]
        self.retries = sorted(children, key=lambda child: child.manifest.created_ms)
        self._numbers = [self._numbers_of(child) for child in self.retries]
        self._seen = bytearray(self.first.manifest.records)

    @property
    def archives(self) -> tuple[JobArchive, ...]:
        """The job's evidence, and that of its retries, oldest first."""
        return (self.first, *self.retries)

    def check(self, spellings: Sequence[ReadLine]) -> None:
        """A line of output, in one of its spellings, is what was signed, and stands once.

        An answer may be of the job or of any retry. What is none is of the last one that was asked for it.

        Raises:
            IntegrityError: it is not.
        """
        line, failed = spellings[0], None
        where = f"record {line.number}"
        self._see(line.number, where)
        if not line.agrees:
            raise ReceiptRefused(Step.RESULTS).at(where)
        asked = self._asked(line.number)
        for archive, number in asked if line.outcome in ANSWERED else asked[-1:]:
            part = archive.part(number)
            if part is None:
                continue
            for spelling in spellings:
                if spelling.states_receipt and spelling.receipt != part.digest:
                    continue
                try:
                    part.check_line(spelling, number, where)
                except IntegrityError as error:
                    failed = error
                else:
                    return
        if failed is not None:
            raise failed
        archive, number = asked[-1]
        if line.attested or line.outcome in ANSWERED or archive.said(number) != str(line.outcome):
            raise ReceiptRefused(Step.RESULTS).at(where)

    def _see(self, number: int, where: str) -> None:
        if number >= len(self._seen):
            raise ReceiptRefused(Step.COMPLETE).at(f"{where}, which the job does not have")
        if self._seen[number]:
            raise ReceiptRefused(Step.COMPLETE).at(f"{where}, which stands twice")
        self._seen[number] = 1

    def _asked(self, number: int) -> list[tuple[JobArchive, int]]:
        """The jobs that were asked for a record, the first one first, with the number that it has there."""
        retried = zip(self.retries, self._numbers, strict=True)
        return [(self.first, number), *((child, numbers[number]) for child, numbers in retried if number in numbers)]

    def check_complete(self) -> None:
        """Every record had its line.

        Raises:
            IntegrityError: some had none.
        """
        missing = [number for number, seen in enumerate(self._seen) if not seen]
        if missing:
            raise ReceiptRefused(Step.COMPLETE).at(named("missing record", missing))

    def check_questions(self, records: Callable[[], Iterator[Record]]) -> None:
        """The questions of an input, in order, are those that were answered, by the job and by its retries.

        Raises:
            IntegrityError: they are not.
        """
        self.first.check_questions(records())
        for child, numbers in zip(self.retries, self._numbers, strict=True):
            asked = (replace(record, number=numbers[n]) for n, record in enumerate(records()) if n in numbers)
            child.check_questions(asked)

    def _numbers_of(self, child: JobArchive) -> dict[int, int]:
        """A retry's record numbers by the job's own."""
        retry = child.manifest.parameters.retry
        if retry is None or retry.parent != self.first.ticket:
            raise IntegrityError(Check.MANIFEST_DIGEST, f"{child.manifest.job}, which is no retry of this job")
        if retry.end > self.first.manifest.records:
            raise IntegrityError(Check.CHUNK_COVER, child.manifest.job)
        return {number: own for own, number in enumerate(retry.numbers())}


def _report(outputs: Mapping[str, _Output], lines: int, attested: int) -> ArchiveReport:
    archives = [archive for output in outputs.values() for archive in output.archives]
    receipts = [part.receipt for archive in archives for part in archive.parts]
    times = sorted(datetime.fromtimestamp(receipt.time_ms / 1000, UTC) for receipt in receipts)
    return ArchiveReport(
        jobs=tuple(outputs),
        records=sum(output.first.manifest.records for output in outputs.values()),
        lines=lines,
        attested=attested,
        receipts=len(receipts),
        images=frozenset(receipt.pcrs[0].hex() for receipt in receipts),
        models=frozenset(receipt.model.hex() for receipt in receipts),
        first=times[0] if times else None,
        last=times[-1] if times else None,
    )
