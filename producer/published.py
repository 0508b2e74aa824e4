"""A job of this producer's that is in the bucket already, read back."""

from collections.abc import Iterator
from dataclasses import dataclass

from aws_errors.service_error import ServiceError, ServiceKind
from producer.store import JobStore
from wire import ledger
from wire.errors import ManifestError
from wire.ledger import ChunkMessage
from wire.manifest import (
    MAX_MANIFEST,
    MAX_PAGE,
    ChunkEntry,
    Manifest,
    decode_manifest,
    decode_page,
    manifest_digest,
)
from wire.messages import MAX_SEALED
from wire.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Published:
    """A job whose manifest is the ticket's."""

    store: JobStore
    manifest: Manifest

    def entries(self) -> Iterator[ChunkEntry]:
        """The entries of all chunks. The reader checks them against the manifest's root; a sender need not.

        Raises:
            ServiceError: a page is gone or is none.
        """
        for page in range(self.manifest.pages):
            yield from self._page(ledger.page_key(self.manifest.tenant, self.manifest.job, page))

    def messages(self) -> Iterator[ChunkMessage]:
        """A message for each chunk that names it and does not carry it.

        Raises:
            ServiceError: a page is gone or is none.
        """
        return map(self.message, self.entries())

    def message(self, entry: ChunkEntry) -> ChunkMessage:
        """The message of one chunk: it names the chunk and does not carry it."""
        manifest, parameters = self.manifest, self.manifest.parameters
        return ChunkMessage(
            tenant=manifest.tenant,
            job=manifest.job,
            chunk=entry.chunk,
            first=entry.first,
            count=entry.count,
            digest=entry.digest,
            size=MAX_SEALED,  # the bridge fetches what a message does not carry; this is a bound for it
            inline=None,
            deadline_ms=parameters.deadline_ms,
            not_before_ms=parameters.not_before_ms,
        )

    def _page(self, name: str) -> tuple[ChunkEntry, ...]:
        data = self.store.get(name, MAX_PAGE)
        try:
            if data is not None:
                return decode_page(data)
        except ManifestError:
            pass
        raise ServiceError(ServiceKind.INVALID, "S3", "GetObject", name, code="PageNotOurs")


def open_published(store: JobStore, tenant: str, ticket: Ticket) -> Published:
    """The job that `ticket` stands for.

    Raises:
        ServiceError: its manifest is gone, or another.
    """
    name = ledger.manifest_key(tenant, ticket.job)
    data = store.get(name, MAX_MANIFEST)
    try:
        if data is not None and manifest_digest(data) == ticket.digest:
            return Published(store, decode_manifest(data))
    except ManifestError:
        pass
    raise ServiceError(ServiceKind.INVALID, "S3", "GetObject", name, code="ManifestNotOurs")
