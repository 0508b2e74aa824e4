"""A ticketed job: its manifest and pages, fetched and checked. No KMS call is made here."""

from collections.abc import Callable
from dataclasses import dataclass, field

from results_consumer.bucket import Bucket
from results_consumer.chunks import MAX_CHUNKS, ChunkTable
from results_consumer.clients import S3Client
from results_consumer.errors import Check, IntegrityError
from results_consumer.settings import ReaderSettings
from wire import ledger
from wire.errors import ManifestError
from wire.ledger import MAX_NOTE, Mark
from wire.manifest import MAX_MANIFEST, MAX_PAGE, ChunkEntry, Manifest, decode_manifest, decode_page, manifest_digest
from wire.merkle import MerkleTree
from wire.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Job:
    """A job whose manifest is the ticket's and whose chunks are the manifest's.

    `encoded` is the manifest as it lies in the bucket, for its HMAC, which takes the answer key.
    """

    manifest: Manifest
    encoded: bytes = field(repr=False)
    chunks: ChunkTable = field(repr=False)


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


def check_manifest(encoded: bytes | None, where: str, ticket: Ticket | None) -> Manifest:
    """The manifest in `encoded`, found at `where`: checks 1 to 3. Without a ticket, any one is taken.

    Raises:
        IntegrityError: it is gone, another one, or none.
    """
    # 1. The manifest is there.
    if encoded is None:
        raise IntegrityError(Check.MANIFEST_PRESENT, where)
    # 2. It is the ticket's.
    if ticket is not None and manifest_digest(encoded) != ticket.digest:
        raise IntegrityError(Check.MANIFEST_DIGEST, where)
    # 3. It is one.
    try:
        manifest = decode_manifest(encoded)
    except ManifestError:
        raise IntegrityError(Check.MANIFEST_FORM, where) from None
    if manifest.chunks > MAX_CHUNKS:
        raise IntegrityError(Check.MANIFEST_FORM, where)
    return manifest


def _as_configured(manifest: Manifest, settings: ReaderSettings, ticket: Ticket) -> bool:
    return (
        manifest.tenant == settings.tenant
        and manifest.job == ticket.job
        and all(
            keyset.question_key_arn == settings.question_key and keyset.answer_key_arn == settings.answer_key
            for keyset in manifest.keysets
        )
    )


def read_chunks(get_page: Callable[[int], bytes | None], manifest: Manifest) -> ChunkTable:
    """The chunks that a manifest's pages list: checks 5 to 8. `get_page` gives a page, or None if there is none.

    Raises:
        IntegrityError: a page is gone or none, or they do not list exactly the manifest's chunks.
    """
    chunks, tree = ChunkTable(), MerkleTree()
    for number in range(manifest.pages):
        where = ledger.page_key(manifest.tenant, manifest.job, number)
        for entry in _read_page(get_page(number), where):
            # 7. Chunks follow each other, each under a keyset of the manifest, up to its counts.
            beyond = entry.first + entry.count > manifest.records or entry.keyset >= len(manifest.keysets)
            if beyond or not chunks.append(entry):
                raise IntegrityError(Check.CHUNK_COVER, where)
            tree.append(entry.encode())
    where = ledger.manifest_key(manifest.tenant, manifest.job)
    if len(chunks) != manifest.chunks or chunks.records != manifest.records:
        raise IntegrityError(Check.CHUNK_COVER, where)
    # 8. They are the ones that the manifest was made over.
    if tree.root() != manifest.root:
        raise IntegrityError(Check.MERKLE_ROOT, where)
    return chunks


def _read_page(page: bytes | None, where: str) -> tuple[ChunkEntry, ...]:
    # 5. The page is there.
    if page is None:
        raise IntegrityError(Check.PAGE_PRESENT, where)
    # 6. It is one.
    try:
        return decode_page(page)
    except ManifestError:
        raise IntegrityError(Check.PAGE_FORM, where) from None
