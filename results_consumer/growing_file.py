"""A file that grows while its job runs, and outlives its writer.

Beside OUT lie, until it is complete, `OUT.partial` with the lines so far and `OUT.progress` with one JSON line for each
chunk: where its lines end, and the SHA-256 of all lines and marks up to there. Nothing is believed that does not stand
that digest, so that a writer may be killed at any point, and the machine with it: what was half written is dropped and
comes again. OUT appears under its name when it is whole.
"""

import errno
import fcntl
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Final, Self

from results_consumer.errors import SinkCode, SinkError
from results_consumer.growing import Accept, Growing, Mark
from results_consumer.sink import MODE, name_file, sync_folder, write_all, writing

VERSION: Final = 1
_BLOCK: Final = 1 << 20
_MOST: Final = 1 << 24
"""Bytes of one line of progress that are read; only damage makes more."""


class GrowingFile(Growing):
    """A file. `identity` says of which fetch it is; what another one began is not continued.

    Raises:
        SinkError: on entering: the file exists, another process writes it, it is the beginning of another fetch, it is
            not this user's own, or it cannot be written. `overwrite` replaces a file that exists, and another
            fetch's beginning.
    """

    rewinds = True

    def __init__(self, path: str | os.PathLike[str], identity: Mark, *, overwrite: bool = False) -> None:
        self._path = os.fspath(path)
        self._target = Path(os.path.realpath(self._path))
        self._partial, self._progress = _beside(self._target)
        self._head = _encode({"v": VERSION, **identity})
        self._overwrite = overwrite
        self._data = self._log = -1
        self._hash = hashlib.sha256()
        self._offset = 0
        self._fresh = self._named = self._grown = False

    @staticmethod
    def begun(path: str) -> bool:
        """Whether an earlier run left something to go on with."""
        return _beside(Path(os.path.realpath(path)))[1].exists()

    @staticmethod
    def discard(path: str) -> None:
        """Remove what an earlier run left beside the output; nobody goes on with it."""
        partial, progress = _beside(Path(os.path.realpath(path)))
        progress.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        try:
            with writing(self._path):
                self._open()
        except BaseException:
            if self._fresh:
                self._progress.unlink(missing_ok=True)
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._fresh and not self._grown:
            # Nothing was begun: nothing is left behind.
            self._partial.unlink(missing_ok=True)
            self._progress.unlink(missing_ok=True)
        self._close()

    def replay(self, accept: Accept) -> None:
        """See `Growing.replay`."""
        with writing(self._path):
            end = self._replayed(accept)
            if self._named and not self.whole:
                # What is missing would have to be written into a file that has its name.
                self._progress.unlink()
                raise FileExistsError(errno.EEXIST, "exists")
            if not self._named:
                os.ftruncate(self._data, self._offset)
            os.ftruncate(self._log, end)

    def append(self, data: bytes, mark: Mark) -> None:
        """Write the lines, then their mark: a mark without its lines is never believed. See `Growing.append`."""
        with writing(self._path):
            self._grown = True
            write_all(self._data, data)
            self._hash.update(data)
            self._offset += len(data)
            said = {**mark, "offset": self._offset}
            self._hash.update(_encode(said))
            write_all(self._log, _encode({**said, "sha256": self._hash.hexdigest()}))

    def end(self) -> None:
        """See `Growing.end`."""
        if not self.whole:
            self.append(b"", {"end": True})
            self.whole = True

    def commit(self) -> None:
        """Put the file on disk and give it its name, which somebody may have taken meanwhile: see `Growing.commit`."""
        with writing(self._path):
            if not self._named:
                os.fsync(self._data)
                name_file(self._partial, self._target, overwrite=self._overwrite)
            self._partial.unlink(missing_ok=True)
            sync_folder(self._target.parent)
            self._progress.unlink()

    def _open(self) -> None:
        if self._target.exists() and not self._overwrite and not self._progress.exists():
            raise FileExistsError(errno.EEXIST, "exists")
        self._log = _open_own(self._progress)
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SinkError(SinkCode.BUSY, self._path) from None
        head = os.pread(self._log, len(self._head), 0)
        if head != self._head and not (self._head.startswith(head) and os.fstat(self._log).st_size <= len(head)):
            if not self._overwrite:
                raise SinkError(SinkCode.OTHER, str(self._partial))
            # The progress first: lines without it are never believed.
            os.ftruncate(self._log, 0)
            self._partial.unlink(missing_ok=True)
        self._fresh = head != self._head
        if self._fresh:
            if self._partial.exists():
                raise SinkError(SinkCode.NOT_OURS, str(self._partial))
            os.ftruncate(self._log, 0)
            write_all(self._log, self._head)
        self._open_data()

    def _open_data(self) -> None:
        """The lines: in OUT already, if the earlier run came so far, else beside it."""
        if self._target.exists():
            if not self._partial.exists() or self._partial.samefile(self._target):
                self._data = os.open(self._target, os.O_RDONLY | os.O_CLOEXEC)
                self._replayed(lambda _: True)
                if self.whole:
                    self._named = True
                    return
                os.close(self._data)
                self._data = -1
                self._partial.unlink(missing_ok=True)
            if not self._overwrite:
                raise FileExistsError(errno.EEXIST, "exists")
        self._data = _open_own(self._partial)

    def _replayed(self, accept: Accept) -> int:
        """Take back what stands the digests; where the progress ends that is good."""
        self._hash, self._offset, self.whole = hashlib.sha256(), 0, False
        end = len(self._head)
        with os.fdopen(os.dup(self._log), "rb") as log:
            log.seek(end)
            while line := log.readline(_MOST):
                mark = _decode(line)
                found = None if mark is None else self._hashed(mark)
                if mark is None or found is None:
                    break
                if not mark.get("end") and not accept(mark):
                    break
                self._hash, self._offset = found, mark["offset"]
                self.whole = bool(mark.get("end"))
                end += len(line)
        os.lseek(self._log, end, os.SEEK_SET)
        os.lseek(self._data, self._offset, os.SEEK_SET)
        return end

    def _hashed(self, mark: Mark) -> Any:
        """The digest up to the mark, or None if lines and mark are not those that it was made over."""
        digest, position = self._hash.copy(), self._offset
        while position < mark["offset"]:
            data = os.pread(self._data, min(_BLOCK, mark["offset"] - position), position)
            if not data:
                return None
            digest.update(data)
            position += len(data)
        digest.update(_encode({name: value for name, value in mark.items() if name != "sha256"}))
        return digest if position == mark["offset"] and digest.hexdigest() == mark["sha256"] else None

    def _close(self) -> None:
        for descriptor in (self._data, self._log):
            if descriptor >= 0:
                os.close(descriptor)
        self._data = self._log = -1


def _beside(target: Path) -> tuple[Path, Path]:
    """The lines and the progress of an output that is not whole."""
    return target.with_name(f"{target.name}.partial"), target.with_name(f"{target.name}.progress")


def _open_own(path: Path) -> int:
    """Open a file for reading and writing, or make it, for its owner's eyes.

    Raises:
        OSError: it cannot be opened.
        SinkError: somebody else made it, or may read it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(descriptor)
        raise SinkError(SinkCode.NOT_OURS, str(path))
    return descriptor


def _encode(mark: Mark) -> bytes:
    return json.dumps(mark, separators=(",", ":")).encode() + b"\n"


def _decode(line: bytes) -> Mark | None:
    """A mark that was written whole."""
    try:
        mark = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    whole = isinstance(mark, dict) and type(mark.get("offset")) is int and isinstance(mark.get("sha256"), str)
    return mark if whole else None
