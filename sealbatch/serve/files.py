"""Files: what was uploaded, and what batches came to."""

from collections.abc import Generator
from typing import Any, Final

from results_consumer.fetch import Only
from sealbatch.channel import Channel, pulled
from sealbatch.serve.api_error import ApiError, missing
from sealbatch.serve.batches import ERRORS, OUTPUT, Batches
from sealbatch.serve.objects import page
from sealbatch.serve.outcomes import Outcomes
from sealbatch.serve.vault import Upload, Vault

_VERIFIED: Final = 600.0
"""Seconds that reading a file waits for a verification that is under way."""


class Files:
    """All files. Threads may share it."""

    def __init__(self, vault: Vault, batches: Batches, outcomes: Outcomes) -> None:
        self._vault = vault
        self._batches = batches
        self._outcomes = outcomes

    def get(self, name: str) -> dict[str, Any]:
        """A file by its id.

        Raises:
            ApiError: there is none, or its batch has not ended. SealbatchError: the batch does not verify.
        """
        if name.startswith((OUTPUT, ERRORS)):
            created, size = self._result(name)
            return _file(name, created, f"{name}.jsonl", size, "batch_output")
        return describe(self._vault.get(name))

    def content(self, name: str) -> tuple[int | None, Generator[bytes]]:
        """The size of a file, where it is certain, and its bytes, in pieces.

        A batch's are verified before the first one is given.

        Raises:
            As `get`; while reading: SealbatchError, if what was verified is no longer there.
        """
        if not name.startswith((OUTPUT, ERRORS)):
            blob = self._vault.get(name).blob
            return blob.size, blob.pieces()
        self._result(name)
        job = self._batches.job(name)
        only = Only.ANSWERED if name.startswith(OUTPUT) else Only.FAILED

        def push(channel: Channel) -> None:
            job.fetch_into(channel, only=only)

        # Its length is not told: a retry that ended meanwhile makes it another. A stream that is cut shows as such.
        return None, _begun(pulled(push))

    def delete(self, name: str) -> dict[str, Any]:
        """Forget an uploaded file.

        Raises:
            ApiError: there is none, or it is a batch's.
        """
        if name.startswith((OUTPUT, ERRORS)):
            message = "This file is a view of a job's sealed answers; `sealbatch purge` removes the job itself."
            raise ApiError(400, message, code="not_deletable", param="file_id")
        self._vault.remove(name)
        return {"id": name, "object": "file", "deleted": True}

    def list(self, after: str | None, limit: int, purpose: str | None, *, oldest_first: bool) -> dict[str, Any]:
        """A page of the files of one purpose, or of all: what was uploaded, and the files of batches that are verified.

        Raises:
            ApiError: `after` is none of them.
        """
        found = [describe(upload) for upload in self._vault.all()]
        for ticket, outcome in self._outcomes.known():
            for prefix, size in ((OUTPUT, outcome.output_bytes), (ERRORS, outcome.error_bytes)):
                if size:
                    name = prefix + ticket
                    found.append(_file(name, outcome.verified, f"{name}.jsonl", size, "batch_output"))
        wanted = {file["id"]: file for file in found if purpose in (None, file["purpose"])}
        names = sorted(wanted, key=lambda name: wanted[name]["created_at"], reverse=not oldest_first)
        return page(names, after, limit, lambda some: [wanted[name] for name in some])

    def _result(self, name: str) -> tuple[int, int]:
        """When a batch's file was made, and its size."""
        outcome = self._batches.outcome(self._batches.job(name), _VERIFIED)
        size = 0 if outcome is None else outcome.output_bytes if name.startswith(OUTPUT) else outcome.error_bytes
        if outcome is None or not size:
            raise missing("file", name, "file_id")
        return outcome.verified, size


def describe(upload: Upload) -> dict[str, Any]:
    """The file object of what was uploaded."""
    return _file(upload.id, upload.created, upload.filename, upload.blob.size, "batch")


def _file(name: str, created: int, filename: str, size: int, purpose: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "file",
        "bytes": size,
        "created_at": created,
        "filename": filename,
        "purpose": purpose,
        "status": "processed",
        "expires_at": None,
        "status_details": None,
    }


def _begun(pieces: Generator[bytes]) -> Generator[bytes]:
    """The same, its first piece there already: what can go wrong before it is raised now."""
    first = next(pieces, b"")

    def whole() -> Generator[bytes]:
        try:
            yield first
            yield from pieces
        finally:
            pieces.close()

    return whole()
