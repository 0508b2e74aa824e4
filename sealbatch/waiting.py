"""Waits for a job's end."""

from typing import Final

from aws_errors.service_error import ServiceError, ServiceKind
from results_consumer.clients import S3Client
from results_consumer.job import open_job
from results_consumer.pace import Pace
from results_consumer.settings import ReaderSettings
from results_consumer.status import JobState, JobStatus, status_of
from sealbatch.errors import WaitTimeout, refuse_stalled
from sealbatch.progress import Limit, Progress, Told
from wire.ticket import Ticket

NO_ANSWER: Final = "S3 does not answer; asking again"


def wait_for(s3: S3Client, settings: ReaderSettings, ticket: Ticket, limit: Limit, told: Told) -> JobStatus:
    """Wait until every record has an outcome. An S3 that does not answer for a while is asked again.

    Raises:
        WaitTimeout: the time is over. JobStalled: the bridge says that KMS refuses the enclave.
        ReaderError, ServiceError: as `results_consumer.status.job_status`, at the first look if S3 does not answer.
    """
    job = open_job(s3, settings, ticket)
    total = job.manifest.records
    pace, before, done = Pace(), 0, -1
    while True:
        try:
            status = status_of(s3, settings, job)
        except ServiceError as error:
            if error.kind is not ServiceKind.UNAVAILABLE or done < 0:
                raise
            told(Progress("answered", done, total, NO_ANSWER))
        else:
            done = status.answered + status.failed_unattested
            failed = status.failed_unattested
            told(Progress("answered", done, total, f"{failed:,} of them failed" if failed else ""))
            if status.state is JobState.COMPLETED:
                return status
            refuse_stalled(status.notice, ticket)
        if limit.over:
            raise WaitTimeout(done, total, ticket)
        limit.wait(pace.after(moved=done > before))
        before = done
