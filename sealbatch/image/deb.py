"""Reads Debian packages (deb(5)): an `ar` archive whose member `data.tar.xz` holds the files."""

import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from sealbatch.image.stage import Stage, StageError

_MAGIC: Final = b"!<arch>\n"
_HEADER: Final = 60


def unpack_deb(package: Path, stage: Stage, wanted: Callable[[str], str | None]) -> None:
    """Put files of a package into the stage; `wanted` says under which name, or None for a file that is left out.

    Raises:
        StageError: the package is malformed. OSError: it cannot be read.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_data(package))) as archive:
            for member in archive:
                name = PurePosixPath("/", member.name).as_posix()
                target = None if member.isdir() else wanted(name)
                if target is not None:
                    _take(archive, member, stage, target)
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
        raise StageError(f"{package.name}: {type(error).__name__}: not a package that can be read") from None


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, stage: Stage, target: str) -> None:
    if member.issym():
        stage.link(target, member.linkname)
    elif member.isreg():
        source = archive.extractfile(member)
        stage.file(target, b"" if source is None else source.read(), executable=bool(member.mode & 0o100))
    else:
        raise StageError(f"{target}: of a kind that an image does not take")


def _data(package: Path) -> bytes:
    """`data.tar`, uncompressed."""
    content = package.read_bytes()
    if not content.startswith(_MAGIC):
        raise StageError(f"{package.name}: not a Debian package")
    position = len(_MAGIC)
    while position + _HEADER <= len(content):
        header = content[position : position + _HEADER]
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        position += _HEADER
        if name == "data.tar.xz":
            return lzma.decompress(content[position : position + size])
        position += size + size % 2
    raise StageError(f"{package.name}: it has no data.tar.xz")
