"""Makes a job of chunks that lie in the bucket: pages of their entries, and last the manifest."""

import time
from collections.abc import Iterable, Sequence
from itertools import islice

from producer.keyset import Keyset
from producer.store import JobStore
from wire import ledger, manifest
from wire.manifest import PAGE_ENTRIES, ChunkEntry, Manifest, Parameters
from wire.merkle import MerkleTree
from wire.ticket import Ticket


def put_pages(
    *,
    store: JobStore,
    tenant: str,
    job: str,
    entries: Iterable[ChunkEntry],
    keyset: Keyset,
    others: Sequence[manifest.Keyset] = (),
    parameters: Parameters,
) -> bytes:
    """Write the pages of `entries`; the manifest over them. `keyset` is the job's first and signs, `others` follow it.

    Raises:
        ServiceError: a page could not be written.
    """
    tree = MerkleTree()
    records = chunks = pages = 0
    rest = iter(entries)
    while page := tuple(islice(rest, PAGE_ENTRIES)):
        for entry in page:
            tree.append(entry.encode())
            records += entry.count
        store.put(ledger.page_key(tenant, job, pages), manifest.encode_page(page))
        chunks += len(page)
        pages += 1
    made = Manifest(
        tenant=tenant,
        job=job,
        created_ms=time.time_ns() // 1_000_000,
        records=records,
        chunks=chunks,
        pages=pages,
        keysets=(keyset.public, *others),
        root=tree.root(),
        parameters=parameters,
    )
    return manifest.encode_manifest(made, keyset.answer_key)


def put_manifest(store: JobStore, tenant: str, job: str, data: bytes) -> Ticket:
    """Write the manifest, from where on the job exists; its ticket.

    Raises:
        ServiceError: it could not be written, or another one is there.
    """
    store.put(ledger.manifest_key(tenant, job), data)
    return Ticket(job, manifest.manifest_digest(data))
