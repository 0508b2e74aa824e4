"""Puts a sealed job into the bucket in the order that makes it one: chunks, pages, and last the manifest."""

from collections.abc import Callable
from itertools import chain, count

from producer.keyset import Keyset
from producer.parallel import run_parallel
from producer.publish import put_manifest, put_pages
from producer.sealed_chunk import SealedChunk
from producer.settings import ProducerSettings
from producer.spool import Spool
from producer.store import JobStore
from wire import ledger
from wire.manifest import PAGE_ENTRIES, Parameters
from wire.ticket import Ticket


class Upload:
    """One job's way into the bucket."""

    def __init__(self, store: JobStore, settings: ProducerSettings, job: str, spool: Spool) -> None:
        self._store = store
        self._tenant = settings.tenant
        self._job = job
        self._spool = spool
        self._pages = -(-len(spool) // PAGE_ENTRIES)

    def put_all(self, keyset: Keyset, parameters: Parameters, progress: Callable[[int], None]) -> Ticket:
        """Write everything; `progress` is told the number of chunks written.

        Raises:
            ServiceError: an object could not be written. What was written is to be discarded.
            SpoolError: the disk failed.
        """
        finished = count(1)
        run_parallel(self._put_chunk, self._spool.chunks(), lambda _: progress(next(finished)))
        data = put_pages(
            store=self._store,
            tenant=self._tenant,
            job=self._job,
            entries=(chunk.entry(0) for chunk in self._spool.chunks()),
            keyset=keyset,
            parameters=parameters,
        )
        return put_manifest(self._store, self._tenant, self._job, data)

    def discard(self) -> int:
        """Remove whatever of the job may be in the bucket; the number of objects that may be left."""
        questions = (ledger.question_key(self._tenant, self._job, number) for number in range(len(self._spool)))
        pages = (ledger.page_key(self._tenant, self._job, page) for page in range(self._pages))
        # The manifest first: without it the job does not exist, whatever else is left.
        return self._store.remove(chain([ledger.manifest_key(self._tenant, self._job)], pages, questions))

    def _put_chunk(self, chunk: SealedChunk) -> None:
        self._store.put(ledger.question_key(self._tenant, self._job, chunk.number), self._spool.read(chunk))
