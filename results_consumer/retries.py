"""Jobs that repeat records of another: found in the bucket, checked like any job, and merged line by line.

What links a retry to its parent is a name in the bucket, its ticket under an HMAC of the parent's answer key, and its
own manifest: only who has opened the parent can repeat records of it. Without that name failed records stay failed.
"""

import hmac
import logging
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from results_consumer.bucket import Bucket
from results_consumer.clients import KmsClient, S3Client
from results_consumer.errors import Check, IntegrityError
from results_consumer.job import open_job
from results_consumer.output import ANSWERED, OutputLine
from results_consumer.reveal import Revealer, open_ended
from results_consumer.settings import ReaderSettings
from wire import keys, ledger
from wire.errors import TicketError
from wire.ledger import MAX_RETRIES
from wire.manifest import Manifest, Retry
from wire.ticket import Ticket

_log: Final = logging.getLogger("sealbatch.results_consumer")


@dataclass(frozen=True, slots=True)
class Repeated:
    """A retry that has ended: what reveals its job, and the parent's records that it repeats."""

    revealer: Revealer
    retry: Retry


def retry_jobs(s3: S3Client, settings: ReaderSettings, ticket: Ticket) -> list[str]:
    """The jobs that names in the bucket call retries of this one.

    Raises:
        ServiceError: S3 does not answer.
    """
    names = Bucket(s3, settings.bucket).names(ledger.retry_prefix(settings.tenant, ticket.job))
    return [ticket.job for ticket in islice(filter(None, map(_ticket, names)), MAX_RETRIES)]


def open_retries(
    s3: S3Client, kms: KmsClient, settings: ReaderSettings, parent: Revealer, *, ticket: Ticket, now_ms: int
) -> list[Repeated]:
    """The retries of a job, oldest first.

    Raises:
        IntegrityError: a retry is not what its ticket says it is.
        JobNotFinished: a retry has records without an outcome.
        ServiceError: S3 or KMS do not answer.
    """
    bucket = Bucket(s3, settings.bucket)
    found = []
    for child in _tickets(bucket, parent.job.manifest, parent.first_key):
        job = open_job(s3, settings, child)
        retry = job.manifest.parameters.retry
        if retry is None or retry.parent != ticket:
            _log.warning("not a retry of this job job=%s: passed over; its manifest names another", child.job)
            continue
        if retry.end > parent.job.manifest.records:
            raise IntegrityError(Check.CHUNK_COVER, ledger.manifest_key(settings.tenant, child.job))
        found.append(Repeated(open_ended(bucket, kms, job, settings.trust, now_ms), retry))
    return sorted(found, key=lambda repeated: repeated.revealer.job.manifest.created_ms)


def merged(
    lines: Iterable[OutputLine], retries: Iterable[Repeated], walk: Callable[[Revealer], Generator[OutputLine]]
) -> Generator[OutputLine]:
    """The lines of a job with those of its retries in the place of failed ones, in the memory of a few chunks.

    An answer is never replaced. Of several retries the latest one with an answer counts, else the latest.

    Raises:
        IntegrityError: a retry's line is of another line of the input.
    """
    streams = [_Numbered(walk(repeated.revealer), repeated.retry) for repeated in retries]
    try:
        for line in lines:
            chosen = line
            for stream in streams:
                other = stream.take(line.number)
                if other is not None and line.outcome not in ANSWERED:
                    _refuse_foreign(line, other)
                    if chosen.outcome not in ANSWERED or other.outcome in ANSWERED:
                        chosen = replace(other, job=line.job, number=line.number)
            yield chosen
    finally:
        for stream in streams:
            stream.close()


def _tickets(bucket: Bucket, parent: Manifest, key: bytes) -> list[Ticket]:
    """The retries that the parent's answer key vouches for. Other names cost a part of a LIST and hide none of them."""
    tenant, job = parent.tenant, parent.job
    prefix = ledger.retry_prefix(tenant, job)
    found: list[Ticket] = []
    foreign = 0
    for name in bucket.names(prefix):
        ticket = _ticket(name)
        mac = keys.retry_mac(key, job, str(ticket))
        if ticket is None or not hmac.compare_digest(
            f"{prefix}{name}".encode(), ledger.retry_key(tenant, job, str(ticket), mac).encode()
        ):
            foreign += 1
        elif len(found) < MAX_RETRIES:
            found.append(ticket)
    if foreign:
        _log.warning(
            "retries that nobody asked for who could open the job job=%s n=%d: passed over; see who writes to the "
            "bucket",
            job,
            foreign,
        )
    return found


def _ticket(name: str) -> Ticket | None:
    """The ticket in the last part of a name that stands for a retry, or None if there is none."""
    try:
        return Ticket.parse(name.partition(".")[0])
    except TicketError:
        return None


class _Numbered:
    """The lines of a retry by the numbers of its parent's records, taken in ascending order."""

    def __init__(self, lines: Generator[OutputLine], retry: Retry) -> None:
        self._lines = lines
        self._numbered = zip(retry.numbers(), lines, strict=False)
        self._next = next(self._numbered, None)

    def take(self, number: int) -> OutputLine | None:
        """The line for the parent's record `number`, if there is one."""
        while self._next is not None and self._next[0] < number:
            self._next = next(self._numbered, None)
        return self._next[1] if self._next is not None and self._next[0] == number else None

    def close(self) -> None:
        """End the reading."""
        self._lines.close()


def _refuse_foreign(line: OutputLine, other: OutputLine) -> None:
    if line.attested and other.attested and (line.line, line.custom_id) != (other.line, other.custom_id):
        raise IntegrityError(Check.INPUT, f"record {line.number}, which its retry takes for another line")
