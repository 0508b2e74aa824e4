"""The job's list of chunks, kept in 44 bytes a chunk: a job of a million chunks takes 44 MB."""

from array import array
from typing import Final

from results_consumer.cover import Range
from wire.manifest import ChunkEntry

MAX_CHUNKS: Final = 10**8
"""Most chunks of a job that is read: up to here the names in the bucket are listed in the order of chunks."""

_DIGEST: Final = 32


class ChunkTable:
    """The entries of all pages; chunk numbers run from 0 and records follow each other without gap or overlap."""

    def __init__(self) -> None:
        self._ends = array("Q", [0])
        self._keysets = array("I")
        self._digests = bytearray()

    def __len__(self) -> int:
        return len(self._keysets)

    @property
    def records(self) -> int:
        """Records of all chunks."""
        return self._ends[-1]

    def append(self, entry: ChunkEntry) -> bool:
        """Add the next entry; False, and nothing is added, if it does not follow the last one."""
        if entry.chunk != len(self) or entry.first != self.records:
            return False
        self._ends.append(entry.first + entry.count)
        self._keysets.append(entry.keyset)
        self._digests += entry.digest
        return True

    def entry(self, chunk: int) -> ChunkEntry:
        """The entry of a chunk below `len`."""
        span = self.span(chunk)
        digest = bytes(self._digests[chunk * _DIGEST : (chunk + 1) * _DIGEST])
        return ChunkEntry(chunk, span.first, span.count, self._keysets[chunk], digest)

    def span(self, chunk: int) -> Range:
        """The records of a chunk below `len`."""
        return Range(self._ends[chunk], self._ends[chunk + 1] - self._ends[chunk])
