"""How far a job is, as S3 alone tells: no KMS call, and nothing opened."""

import enum
import time
from dataclasses import dataclass
from typing import Final

from results_consumer.bucket import Bucket
from results_consumer.clients import S3Client
from results_consumer.coverage import Coverage, measure
from results_consumer.job import Job, open_job
from results_consumer.settings import ReaderSettings
from wire import ledger
from wire.errors import LedgerError
from wire.ledger import MAX_NOTE, Notice, parse_notice
from wire.ticket import Ticket

NOTICE_LIFE_MS: Final = 180_000
"""A notice older than this is history: the bridge renews it for as long as the reason stands."""


class JobState(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """No record has an outcome yet."""
    IN_PROGRESS = "in_progress"
    """Some records have an outcome, and some have none yet."""
    COMPLETED = "completed"
    """Every record has an outcome: an answer, a failure, or a deadline that has passed."""
    STALLED = "stalled"
    """Unfinished, and the bridge says what keeps it."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Counts of records and chunks by the objects that lie in the bucket; none of them is verified yet.

    `answered` records have an answer object, `failed_unattested` only the bridge's word that there will be none.
    `chunks_answered` have no record left without either. `notice` is the bridge's fresh word why the job does not move.
    """

    job: str
    name: str
    created_ms: int
    state: JobState
    total: int
    answered: int
    failed_unattested: int
    chunks: int
    chunks_answered: int
    notice: Notice | None
    deadline_ms: int | None = None
    """What has no outcome by then is expired; None if nothing ever is."""


def job_status(s3: S3Client, settings: ReaderSettings, ticket: Ticket, *, now_ms: int | None = None) -> JobStatus:
    """Fetch and check the manifest, then count.

    `now_ms` is the time in milliseconds since 1970, the clock's if None.

    Raises:
        IntegrityError: the job is not the ticket's.
        ServiceError: S3 does not answer.
    """
    return status_of(s3, settings, open_job(s3, settings, ticket), now_ms=now_ms)


def status_of(s3: S3Client, settings: ReaderSettings, job: Job, *, now_ms: int | None = None) -> JobStatus:
    """Count for a job that is open already: what one asks again and again while waiting.

    Raises:
        ServiceError: S3 does not answer.
    """
    now = clock_ms() if now_ms is None else now_ms
    bucket = Bucket(s3, settings.bucket)
    found = measure(bucket, job)
    notice = fresh_notice(bucket, job, now)
    manifest = job.manifest
    return JobStatus(
        job=manifest.job,
        name=manifest.parameters.name,
        created_ms=manifest.created_ms,
        state=_state(found, notice, late=job.is_late(now)),
        total=found.records,
        answered=found.answered,
        failed_unattested=found.failed,
        chunks=manifest.chunks,
        chunks_answered=found.chunks_done,
        notice=notice,
        deadline_ms=manifest.parameters.deadline_ms,
    )


def clock_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def _state(found: Coverage, notice: Notice | None, *, late: bool) -> JobState:
    if not found.missing_records or late:
        return JobState.COMPLETED
    if notice is not None:
        return JobState.STALLED
    return JobState.IN_PROGRESS if found.answered or found.failed else JobState.QUEUED


def fresh_notice(bucket: Bucket, job: Job, now_ms: int) -> Notice | None:
    """The bridge's word why the job does not move, if it is fresh.

    Raises:
        ServiceError: S3 does not answer.
    """
    body = bucket.get(ledger.notice_key(job.manifest.tenant, job.manifest.job), limit=MAX_NOTE)
    if body is None:
        return None
    try:
        notice = parse_notice(body)
    except LedgerError:
        return None
    # Either clock may be ahead of the other.
    return notice if abs(now_ms - notice.at_ms) <= NOTICE_LIFE_MS else None
