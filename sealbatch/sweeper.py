"""Finds what a job misses and no message can bring any more, and has it sent again."""

from dataclasses import dataclass

from producer.clients import Clients
from producer.published import Published
from producer.resend import may_be_queued, resend
from producer.settings import ProducerSettings
from producer.store import JobStore
from results_consumer.bucket import Bucket
from results_consumer.clients import S3Client
from results_consumer.coverage import scan
from results_consumer.job import Job, open_job
from results_consumer.settings import ReaderSettings
from results_consumer.status import clock_ms
from wire.manifest import ChunkEntry
from wire.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Swept:
    """Of the job's chunks, how many have records without an outcome, and how many were sent again."""

    job: str
    chunks: int
    missing: int
    sent: int


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Reads with the reader's rights and sends with the producer's."""

    s3: S3Client
    reader: ReaderSettings
    clients: Clients
    producer: ProducerSettings

    def sweep(self, ticket: Ticket, *, force: bool = False, dry_run: bool = False, now_ms: int | None = None) -> Swept:
        """Send again what has sealed questions, no outcome, and no message that could still exist, unless `force`.

        A job past its deadline has an outcome for everything. `now_ms` is the clock's if None.

        Raises:
            IntegrityError: the job is not the ticket's. ServiceError: S3 does not answer, or a chunk could not be sent.
        """
        job = open_job(self.s3, self.reader, ticket)
        now = clock_ms() if now_ms is None else now_ms
        sqs, url = self.clients.sqs, self.producer.queue_url
        missing = [] if job.is_late(now) else self._open_chunks(job)
        waits = not force and bool(missing) and may_be_queued(sqs, url, job.manifest.created_ms, now)
        sent = 0
        if not waits and not dry_run:
            published = Published(JobStore(self.clients.s3, self.producer.bucket), job.manifest)
            sent = resend(sqs, url, published, missing)
        return Swept(ticket.job, len(job.chunks), len(missing), sent)

    def _open_chunks(self, job: Job) -> list[ChunkEntry]:
        found = scan(Bucket(self.s3, self.reader.bucket), job)
        return [job.chunks.entry(item.chunk) for item in found if item.missing]
