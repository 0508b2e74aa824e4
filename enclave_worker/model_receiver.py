"""Takes a model from the host over vsock.

The host is not believed: every file is hashed as it comes, and counts when it is the manifest's; the manifest is
measured into its register before the first byte of a file is asked for.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from enclave_worker.manifest import (
    MAX_MANIFEST,
    NAME,
    FileEntry,
    ModelError,
    ModelManifest,
    file_errors,
    parse_manifest,
)
from wire.errors import MessageError, WireError
from wire.model_feed import CHUNK, DATA, MANIFEST, Done, Refused, Reply, Want, encode_reply
from wire.stream import Listener, Stream

PATIENCE: Final = 60.0
"""Seconds that the host may take for one chunk before the connection counts as lost."""
POLL: Final = 5.0
PART: Final = ".part"
"""Ends the name of a file that is not verified yet."""
RESERVE: Final = 64 * 1024 * 1024
"""Bytes that are left free beside the model."""

_log: Final = logging.getLogger("sealbatch.enclave_worker")


class RefusedModel(Exception):  # noqa: N818 - says what happened
    """What the host sent is not taken; the text says why and holds names of files and numbers only."""


class ModelReceiver:
    """The model in `folder`, as it comes. What was verified stays, whatever becomes of a connection."""

    def __init__(self, folder: Path, measure: Callable[[bytes], None]) -> None:
        """`measure` is given the SHA-256 of the manifest once, before any file is asked for."""
        self._folder = folder
        self._measure = measure
        self._manifest: ModelManifest | None = None
        self._missing: list[tuple[str, FileEntry]] = []
        self._file: _Incoming | None = None

    def serve(self, listener: Listener) -> ModelManifest:
        """Take connections, one after the other, until every file is there.

        Raises:
            AttestorError: the manifest could not be measured. ModelError: a file could not be written.
            StreamClosed: the listener was closed.
        """
        _log.info("waiting for a model: `sealbatch enclave feed` gives it")
        try:
            while True:
                stream = listener.accept(POLL)
                if stream is None:
                    continue
                with stream:
                    if self._converse(stream) and self._manifest is not None:
                        _log.info("model complete model=%s", self._manifest.digest.hex()[:16])
                        return self._manifest
        finally:
            if self._file is not None:
                self._file.close()

    def _converse(self, stream: Stream) -> bool:
        """One connection; True when the model is complete."""
        try:
            self._offered(_received(stream, MANIFEST, MAX_MANIFEST))
            while (want := self._next()) is not None:
                stream.send(encode_reply(want), PATIENCE)
                self._take(_received(stream, DATA, want.size), want)
        except RefusedModel as refusal:
            _log.error("model refused: %s; waiting for another connection, give the model of the manifest", refusal)
            _say(stream, Refused(str(refusal)))
            return False
        except WireError as error:
            _log.warning(
                "model connection lost error=%s missing=%d: what is complete is kept; `sealbatch enclave feed` goes on "
                "there",
                type(error).__name__,
                len(self._missing),
            )
            return False
        _say(stream, Done())
        return True

    def _offered(self, data: bytes) -> None:
        """The manifest of this connection: the first one is measured, every other must be the same."""
        try:
            manifest, entries = parse_manifest(data)
        except ModelError as error:
            raise RefusedModel(str(error)) from None
        if self._manifest is not None:
            if manifest != self._manifest:
                raise RefusedModel("another model was measured before, and an enclave serves one")
            return
        size, free = sum(entry.size for entry in entries.values()), shutil.disk_usage(self._folder).free
        if size + RESERVE > free:
            raise RefusedModel(f"the model has {size} bytes and this enclave room for {max(0, free - RESERVE)}")
        self._measure(manifest.digest)
        with file_errors(NAME):
            (self._folder / NAME).write_bytes(data)
        self._manifest, self._missing = manifest, sorted(entries.items(), reverse=True)

    def _next(self) -> Want | None:
        """What to ask for; None when nothing is missing."""
        while self._missing:
            name, entry = self._missing[-1]
            if self._file is None:
                self._file = _Incoming(self._folder / name, entry)
            if self._file.left:
                return Want(name, self._file.size, min(CHUNK, self._file.left))
            incoming, self._file = self._file, None
            incoming.finish()
            self._missing.pop()
        return None

    def _take(self, data: bytes, want: Want) -> None:
        if self._file is None or len(data) != want.size:
            raise RefusedModel(f"{want.name}: {len(data)} bytes came and {want.size} were asked for")
        self._file.write(data)


class _Incoming:
    """A file that is not whole yet."""

    def __init__(self, path: Path, entry: FileEntry) -> None:
        self._path = path
        self._entry = entry
        self._digest = entry.hasher()
        self.size = 0
        with file_errors(path.name):
            self._file: BinaryIO = _part(path).open("wb")

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return self._entry.size - self.size

    def write(self, data: bytes) -> None:
        """The next bytes."""
        with file_errors(self._path.name):
            self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def close(self) -> None:
        """Leave it as it is."""
        self._file.close()

    def finish(self) -> None:
        """Give the file its name, if it is the manifest's; else nothing of it is kept, and it is asked for anew."""
        with file_errors(self._path.name):
            self._file.close()
            if self._digest.hexdigest() != self._entry.expected:
                _part(self._path).unlink()
                raise RefusedModel(f"{self._path.name}: its digest is not the manifest's")
            _part(self._path).replace(self._path)


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART)


def _received(stream: Stream, kind: bytes, most: int) -> bytes:
    body = stream.receive(PATIENCE)
    if body is None:
        raise MessageError("the host ended the connection")
    if body[:1] != kind:
        raise RefusedModel("the host said something else than was asked for")
    if len(body) - 1 > most:
        raise RefusedModel(f"{len(body) - 1} bytes came, and {most} are the most")
    return body[1:]


def _say(stream: Stream, reply: Reply) -> None:
    try:
        stream.send(encode_reply(reply), PATIENCE)
    except WireError as error:
        _log.warning("model connection lost error=%s: the parent did not hear the end", type(error).__name__)
