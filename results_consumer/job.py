"""A ticketed job: its manifest and pages, fetched and checked. No KMS call is made here."""

from dataclasses import dataclass, field

from results_consumer.bucket import Bucket
from results_consumer.chunks import ChunkTable
from results_consumer.clients import S3Client
from results_consumer.errors import Check, IntegrityError
from results_consumer.manifest import check_manifest, read_chunks
from results_consumer.settings import ReaderSettings
from wire import ledger
from wire.ledger import MAX_NOTE, Mark
from wire.manifest import MAX_MANIFEST, MAX_PAGE, Manifest
from wire.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Job:
    """A job whose manifest is the ticket's and whose chunks are the manifest's.

    `encoded` is the manifest as it lies in the bucket, for its HMAC, which takes the answer key.
    """

    manifest: Manifest
    encoded: bytes = field(repr=False)
    chunks: ChunkTable = field(repr=False)

    def is_late(self, now_ms: int) -> bool:
        """Whether the deadline in the manifest has passed."""
        deadline = self.manifest.parameters.deadline_ms
        return deadline is not None and now_ms >= deadline


def open_job(s3: S3Client, settings: ReaderSettings, ticket: Ticket) -> Job:
    """Fetch and check what the ticket stands for: checks 1 to 8 of `errors.Check`.

    Raises:
        IntegrityError: the manifest or a page is gone, is another one, or names other keys than the configured ones.
        ServiceError: S3 does not give them.
    """
    bucket = Bucket(s3, settings.bucket)
    where = ledger.manifest_key(settings.tenant, ticket.job)
    encoded = bucket.get(where, limit=MAX_MANIFEST)
    if encoded is None:
        # Whether it was purged is the host's word: it explains, and excuses nothing.
        purged = bucket.get(ledger.mark_key(settings.tenant, ticket.job, Mark.PURGED), limit=MAX_NOTE) is not None
        where += ", which a tombstone says was purged" if purged else ""
    # 1. to 3. The manifest is there, is the ticket's, and is one.
    manifest = check_manifest(encoded, where, ticket)
    # 4. It is this tenant's and job's, under the configured keys.
    if not _as_configured(manifest, settings, ticket):
        raise IntegrityError(Check.CONFIGURATION, where)
    # 5. to 8. The pages list exactly its chunks.
    chunks = read_chunks(
        lambda page: bucket.get(ledger.page_key(manifest.tenant, manifest.job, page), limit=MAX_PAGE), manifest
    )
    return Job(manifest, encoded or b"", chunks)


def _as_configured(manifest: Manifest, settings: ReaderSettings, ticket: Ticket) -> bool:
    return (
        manifest.tenant == settings.tenant
        and manifest.job == ticket.job
        and all(
            keyset.question_key_arn == settings.question_key and keyset.answer_key_arn == settings.answer_key
            for keyset in manifest.keysets
        )
    )
