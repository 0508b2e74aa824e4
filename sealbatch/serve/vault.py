"""Uploaded files, sealed as they arrive. The key of each is in this process's memory and nowhere else."""

import errno
import hashlib
import os
import secrets
import tempfile
import threading
import time
import weakref
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealbatch.serve.api_error import ApiError, missing

MAX_FILE: Final = 200 * 1000 * 1000
"""Bytes of one file: OpenAI's limit for a batch's input."""
MAX_TOTAL: Final = 2 * 1000 * 1000 * 1000
"""Bytes of all files together."""
MAX_FILES: Final = 200
SEGMENT: Final = 64 * 1024
_TAG: Final = 16


class SealedBlob:
    """Bytes in a file without a name, in segments under AES-256-GCM; whole segments, by number, and their count.

    Write all, `end`, then read any number of times. It is gone with `close`, and with the process however that ends.
    """

    def __init__(self) -> None:
        self._cipher = AESGCM(secrets.token_bytes(32))
        with tempfile.TemporaryFile(buffering=0) as file:
            self._descriptor = os.dup(file.fileno())
        # Whoever reads a file that is deleted meanwhile still holds it: it is closed when nobody does any more.
        self._closing = weakref.finalize(self, os.close, self._descriptor)
        self._open = bytearray()
        self._segments = 0
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes: by what a file that comes again is known."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Seal the next bytes.

        Raises:
            ApiError: the file is too large, or the disk is full.
        """
        self.size += len(data)
        if self.size > MAX_FILE:
            raise ApiError(413, f"The file is larger than {MAX_FILE:,} bytes.", code="file_too_large", param="file")
        self._hash.update(data)
        self._open += data
        while len(self._open) >= SEGMENT:
            self._seal(SEGMENT)

    def end(self) -> None:
        """Seal the rest.

        Raises:
            ApiError: the disk is full.
        """
        if self._open:
            self._seal(len(self._open))

    def pieces(self) -> Generator[bytes]:
        """The bytes from their beginning, as they were uploaded.

        Raises:
            OSError: the disk failed, or somebody changed what lies there.
        """
        for number in range(self._segments):
            size = min(SEGMENT, self.size - number * SEGMENT) + _TAG
            sealed = os.pread(self._descriptor, size, number * (SEGMENT + _TAG))
            try:
                yield self._cipher.decrypt(_nonce(number), sealed, None)
            except InvalidTag:
                raise OSError(errno.EIO, "an uploaded file cannot be read again") from None

    def close(self) -> None:
        """Forget it."""
        self._closing()

    def _seal(self, size: int) -> None:
        sealed = self._cipher.encrypt(_nonce(self._segments), bytes(self._open[:size]), None)
        del self._open[:size]
        rest = memoryview(sealed)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            raise ApiError(507, "There is no space left for uploaded files; TMPDIR names another folder.") from None
        self._segments += 1


def _nonce(number: int) -> bytes:
    """A segment's own: a blob has its own key, and each segment is sealed once."""
    return number.to_bytes(12, "big")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that somebody uploaded; `created` in seconds since 1970."""

    id: str
    filename: str
    created: int
    blob: SealedBlob = field(repr=False)


class Vault:
    """All uploaded files. Threads may share it."""

    def __init__(self) -> None:
        self._files: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def add(self, filename: str, blob: SealedBlob, *, again: bool = False) -> Upload:
        """Keep a file; one that may have come before, if it is not here already.

        Raises:
            ApiError: there are too many.
        """
        upload = Upload(f"file-{secrets.token_hex(12)}", filename[:200] or "file", int(time.time()), blob)
        with self._lock:
            for kept in self._files.values() if again else ():
                if (kept.filename, kept.blob.digest) == (upload.filename, blob.digest):
                    blob.close()
                    return kept
            total = sum(kept.blob.size for kept in self._files.values()) + blob.size
            if len(self._files) >= MAX_FILES or total > MAX_TOTAL:
                message = f"At most {MAX_FILES:,} files and {MAX_TOTAL:,} bytes are kept; delete some."
                raise ApiError(400, message, code="too_many_files")
            self._files[upload.id] = upload
        return upload

    def get(self, name: str, param: str = "file_id") -> Upload:
        """A file by its id.

        Raises:
            ApiError: there is none.
        """
        with self._lock:
            found = self._files.get(name)
        if found is None:
            raise missing("file", name, param)
        return found

    def remove(self, name: str) -> None:
        """Forget a file.

        Raises:
            ApiError: there is none.
        """
        self.get(name)
        with self._lock:
            self._files.pop(name, None)

    def all(self) -> list[Upload]:
        """All files, oldest first."""
        with self._lock:
            return list(self._files.values())
