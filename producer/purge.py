"""Removes a job for good: its manifest first, with the wrapped answer keys, without which no copy of its answers opens.

A copy of sealed questions that somebody kept has its wrapped key in its header: it opens in an attested enclave alone,
as ever, for as long as the key's policy admits that image.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from aws_errors.mapped import mapped
from aws_errors.service_error import ServiceError, ServiceKind
from producer.clients import S3Client
from producer.settings import ProducerSettings
from producer.store import DELETE_BATCH, JobStore
from wire import ledger
from wire.ledger import Mark
from wire.ticket import Ticket

Version = dict[str, str]
_TOMBSTONE: Final = 1


def _silent(_done: int, _total: int) -> None:
    pass


class Purger:
    """Purges jobs of one tenant from a bucket, every version of every object."""

    def __init__(self, s3: S3Client, settings: ProducerSettings) -> None:
        self._s3 = s3
        self._settings = settings

    def count(self, ticket: Ticket) -> int:
        """How many versions of objects a purge would remove.

        Raises:
            ServiceError: S3 does not list them.
        """
        return sum(1 for _ in self._versions(ticket))

    def purge(self, ticket: Ticket, told: Callable[[int, int], None] = _silent) -> int:
        """Leave a tombstone, remove the manifest, then all else; how many versions of objects were removed.

        The tombstone comes first: bridges drop what they still have of the job, and a purge that was interrupted shows.
        Doing it again goes on where it ended. `told` is told how many of the rest are removed, and how many there are.

        Raises:
            ServiceError: S3 did not remove everything.
        """
        self._leave_tombstone(ticket)
        manifest = ledger.manifest_key(self._settings.tenant, ticket.job)
        removed = self._remove(version for version in self._versions(ticket) if version["Key"] == manifest)
        return removed + self._remove(self._versions(ticket), told)

    def _leave_tombstone(self, ticket: Ticket) -> None:
        body = {"v": _TOMBSTONE, "ticket": str(ticket), "at_ms": time.time_ns() // 1_000_000}
        key = ledger.mark_key(self._settings.tenant, ticket.job, Mark.PURGED)
        JobStore(self._s3, self._settings.bucket).put_new(key, json.dumps(body, sort_keys=True).encode())

    def _versions(self, ticket: Ticket) -> Iterator[Version]:
        """All versions and delete markers of the job's objects, the tombstone's left out."""
        prefix = ledger.job_prefix(self._settings.tenant, ticket.job)
        tombstone = ledger.mark_key(self._settings.tenant, ticket.job, Mark.PURGED)
        position: dict[str, Any] = {}
        while True:
            with mapped("S3", "ListObjectVersions", self._settings.bucket):
                page = self._s3.list_object_versions(Bucket=self._settings.bucket, Prefix=prefix, **position)
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if item["Key"] != tombstone:
                    yield {"Key": item["Key"], "VersionId": item["VersionId"]}
            if not page.get("IsTruncated"):
                return
            position = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}

    def _remove(self, versions: Iterable[Version], told: Callable[[int, int], None] = _silent) -> int:
        removed = 0
        found = list(versions)
        rest = iter(found)
        while batch := list(islice(rest, DELETE_BATCH)):
            with mapped("S3", "DeleteObjects", self._settings.bucket):
                reply = self._s3.delete_objects(Bucket=self._settings.bucket, Delete={"Objects": batch, "Quiet": True})
            if reply.get("Errors"):
                raise ServiceError(ServiceKind.DENIED, "S3", "DeleteObjects", self._settings.bucket)
            removed += len(batch)
            told(removed, len(found))
        return removed
