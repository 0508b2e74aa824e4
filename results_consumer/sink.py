"""Where verified lines go: a file that appears whole or not at all, or a stream that cannot be taken back."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Self

from results_consumer.errors import SinkCode, SinkError

BUFFER: Final = 1 << 20
"""Bytes that are gathered before they are written."""
MODE: Final = 0o600
"""Answers may hold health data: nobody but the owner reads the file, whatever the umask."""

_CODES: Final = {
    errno.EEXIST: SinkCode.EXISTS,
    errno.ENOENT: SinkCode.NO_FOLDER,
    errno.ENOTDIR: SinkCode.NO_FOLDER,
    errno.EACCES: SinkCode.DENIED,
    errno.EPERM: SinkCode.DENIED,
    errno.EROFS: SinkCode.DENIED,
    errno.ENOSPC: SinkCode.FULL,
    errno.EDQUOT: SinkCode.FULL,
    errno.EFBIG: SinkCode.FULL,
    errno.EISDIR: SinkCode.NOT_A_FILE,
}


class Sink:
    """Takes the output's bytes in order. Leaving it without `commit` takes back what can be taken back."""

    revocable = True
    """Whether bytes may be written before the whole job is verified."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            SinkError: they cannot be written.
        """
        raise NotImplementedError

    def commit(self) -> None:
        """Make the output final.

        Raises:
            SinkError: it cannot be.
        """


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn what the system raises inside into `SinkError` for the output at `path`.

    A reader that went away, as `head` does, is `BrokenPipeError` as everywhere.
    """
    try:
        yield
    except OSError as error:
        raise _named(error, path) from None


def _named(error: OSError, path: str) -> SinkError | BrokenPipeError:
    if isinstance(error, BrokenPipeError):
        return error
    number = error.errno or 0
    return SinkError(_CODES.get(number, SinkCode.FAILED), path, number)


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write all of `data`.

    Raises:
        OSError: the disk is full, or fails.
    """
    with memoryview(data) as whole:
        written = 0
        while written < len(whole):
            written += os.write(descriptor, whole[written:])


def name_file(part: Path, target: Path, *, overwrite: bool) -> None:
    """Give a file that is complete its name.

    Raises:
        OSError: somebody made a file of that name meanwhile, and `overwrite` is not set, or the disk fails.
    """
    if overwrite:
        part.replace(target)
        return
    try:
        target.hardlink_to(part)  # unlike rename, this fails if the name was taken meanwhile
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # A file system without hard links: look again, then rename; the moment between is all that is left.
        if target.exists():
            raise FileExistsError(errno.EEXIST, "exists") from None
        part.replace(target)
    else:
        part.unlink()


def sync_folder(path: Path) -> None:
    """Put the names in a folder on disk.

    Raises:
        OSError: the disk fails.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    except OSError as error:
        # Some network file systems cannot sync a folder; the file itself is on disk by now.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(folder)


class FileSink(Sink):
    """A file that appears under its name only when it is complete and on disk.

    Until then the bytes are in a file beside it, `.<name>.<random>.part`, which is removed on any failure. A symbolic
    link is followed. An existing file is replaced only with `overwrite`.

    Raises:
        SinkError: on entering: the folder, the permission or the space is missing, or the file exists.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._path = os.fspath(path)
        self._target = Path(os.path.realpath(self._path))
        # A name may have 255 bytes; the tail of ours is dropped rather than exceed them.
        self._part = self._target.parent / f".{self._target.name[:48]}.{secrets.token_hex(8)}.part"
        self._overwrite = overwrite
        self._file = -1
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        with writing(self._path):
            self._refuse_unfit()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._part, flags, MODE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._part.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """See `Sink.write`: the disk may be full, or fail."""
        self._buffer += data
        if len(self._buffer) >= BUFFER:
            with writing(self._path):
                self._flush()

    def commit(self) -> None:
        """Put the file on disk and give it its name, which somebody may have taken meanwhile: see `Sink.commit`."""
        with writing(self._path):
            self._flush()
            os.fsync(self._file)
            name_file(self._part, self._target, overwrite=self._overwrite)
            sync_folder(self._target.parent)
        os.close(self._file)
        self._file = -1

    def _refuse_unfit(self) -> None:
        try:
            found = self._target.stat()
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "not a regular file")
        if not self._overwrite:
            raise FileExistsError(errno.EEXIST, "exists")

    def _flush(self) -> None:
        write_all(self._file, self._buffer)
        self._buffer = bytearray()


class StreamSink(Sink):
    """A stream, such as standard output. What is written is out: `fetch` verifies everything before the first byte."""

    revocable = False

    def __init__(self, stream: BinaryIO, name: str = "standard output") -> None:
        self._stream = stream
        self._name = name

    def write(self, data: bytes) -> None:
        """See `Sink.write`. Once a line, so without `writing`, which would take ten times as long."""
        try:
            self._stream.write(data)
        except OSError as error:
            raise _named(error, self._name) from None

    def commit(self) -> None:
        """Flush the stream: see `Sink.commit`."""
        with writing(self._name):
            self._stream.flush()


class LineSink(Sink):
    """Takes JSON lines one by one; whoever derives from it says in `take` what it does with them."""

    def write(self, data: bytes) -> None:
        """Take the next line; what stands before the first one is empty."""
        if data:
            self.take(data)

    def take(self, line: bytes) -> None:
        """Take a line."""
        raise NotImplementedError
