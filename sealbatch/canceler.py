"""Ends a job before its end: what is answered is kept, and everything else gets its word at once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from producer.clients import Clients
from producer.parallel import run_parallel
from producer.settings import ProducerSettings
from producer.store import JobStore
from results_consumer.bucket import Bucket
from results_consumer.clients import S3Client
from results_consumer.cover import Range
from results_consumer.coverage import scan
from results_consumer.job import Job, open_job
from results_consumer.settings import ReaderSettings
from results_consumer.status import clock_ms
from wire import ledger
from wire.ledger import Failure, Mark
from wire.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Canceled:
    """Of `records`, how many were canceled now; `answered` are kept. None is canceled of a job that has ended."""

    job: str
    records: int
    canceled: int


def cancel(
    s3: S3Client, reader: ReaderSettings, clients: Clients, producer: ProducerSettings, ticket: Ticket
) -> Canceled:
    """Mark the job, so that bridges start no more of it, and write a failure for all that has no outcome yet.

    Doing it again does it no harm. What an enclave answers at this very moment is kept, as it would have been before.

    Raises:
        IntegrityError: the job is not the ticket's. ServiceError: S3 does not answer, or a mark or failure
            could not be written.
    """
    job = open_job(s3, reader, ticket)
    store = JobStore(clients.s3, producer.bucket)
    now = clock_ms()
    store.put_new(ledger.mark_key(reader.tenant, ticket.job, Mark.CANCELED), json.dumps({"at_ms": now}).encode())
    body = ledger.encode_note(Failure("canceled", now))
    total = 0

    def put(item: tuple[int, Range]) -> int:
        chunk, span = item
        store.put_new(ledger.failure_key(reader.tenant, ticket.job, chunk, span.first, span.count), body)
        return span.count

    def count(records: int) -> None:
        nonlocal total
        total += records

    run_parallel(put, _open_ranges(Bucket(s3, reader.bucket), job), count)
    return Canceled(ticket.job, job.manifest.records, total)


def _open_ranges(bucket: Bucket, job: Job) -> Iterator[tuple[int, Range]]:
    for found in scan(bucket, job):
        for part in found.missing:
            yield found.chunk, part
