"""A sealed chunk, as whoever sealed it knows it."""

from dataclasses import dataclass

from wire.ledger import ChunkMessage
from wire.manifest import ChunkEntry, Parameters


@dataclass(frozen=True, slots=True)
class SealedChunk:
    """Where one sealed chunk lies in its file, which records it holds, and its SHA-256."""

    number: int
    offset: int
    size: int
    first: int
    count: int
    digest: bytes

    def entry(self, keyset: int) -> ChunkEntry:
        """The chunk in its job's list, under the keyset of this index."""
        return ChunkEntry(self.number, self.first, self.count, keyset, self.digest)

    def message(self, tenant: str, job: str, parameters: Parameters, sealed: bytes) -> ChunkMessage:
        """The message that names the chunk and carries its `sealed` bytes, unless they are too large for that."""
        return ChunkMessage(
            tenant=tenant,
            job=job,
            chunk=self.number,
            first=self.first,
            count=self.count,
            digest=self.digest,
            size=self.size,
            inline=sealed,
            deadline_ms=parameters.deadline_ms,
            not_before_ms=parameters.not_before_ms,
        )
