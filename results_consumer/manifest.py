"""What a manifest and its pages must be: checks 1 to 3 and 5 to 8 of `errors.Check`, wherever the bytes come from.

Whoever proves an output offline imports this, so nothing here needs an AWS library.
"""

from collections.abc import Callable

from results_consumer.chunks import MAX_CHUNKS, ChunkTable
from results_consumer.errors import Check, IntegrityError, checked
from wire import ledger
from wire.manifest import ChunkEntry, Manifest, decode_manifest, decode_page, manifest_digest
from wire.merkle import MerkleTree
from wire.ticket import Ticket


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
    with checked(Check.MANIFEST_FORM, where):
        manifest = decode_manifest(encoded)
    if manifest.chunks > MAX_CHUNKS:
        raise IntegrityError(Check.MANIFEST_FORM, where)
    return manifest


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
    with checked(Check.PAGE_FORM, where):
        return decode_page(page)
