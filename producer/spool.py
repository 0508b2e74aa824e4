"""Sealed chunks on disk, in a temporary file without a name, until the whole input was found valid."""

import errno
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from producer.errors import SpoolError
from producer.sealed_chunk import SealedChunk

_ENTRY: Final = struct.Struct(">QIQI32s")


class Spool:
    """Write all, then read any chunk from any thread. A chunk takes 56 bytes of memory.

    The file has no name, so it is gone with the process however that ends; and it holds sealed bytes only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = str(folder or tempfile.gettempdir())
        with self._mapped():
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - closed by __exit__
        self._index = bytearray()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._index) // _ENTRY.size

    def append(self, sealed: bytes, *, first: int, count: int, digest: bytes) -> None:
        """Write the next chunk.

        Raises:
            SpoolError: the disk is full or refuses.
        """
        rest = memoryview(sealed)
        with self._mapped():
            while rest:
                rest = rest[os.write(self._file.fileno(), rest) :]
        self._index += _ENTRY.pack(self.size, len(sealed), first, count, digest)
        self.size += len(sealed)

    def chunk(self, number: int) -> SealedChunk:
        """What is known of chunk `number`, from 0."""
        return SealedChunk(number, *_ENTRY.unpack_from(self._index, number * _ENTRY.size))

    def chunks(self) -> Iterator[SealedChunk]:
        """All chunks in order."""
        return map(self.chunk, range(len(self)))

    def read(self, chunk: SealedChunk) -> bytes:
        """The sealed bytes of a chunk.

        Raises:
            SpoolError: the disk failed.
        """
        with self._mapped():
            data = os.pread(self._file.fileno(), chunk.size, chunk.offset)
            if len(data) != chunk.size:
                raise OSError(errno.EIO, "short read")
        return data

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError(self._folder, full=error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}) from None
