"""Writes a root file system as a cpio archive of the `newc` format, which is what the kernel unpacks at boot.

The same tree gives the same bytes wherever and whenever it is written: members are sorted, and their owners, times,
inode and device numbers say nothing of the machine (kernel documentation, `early-userspace/buffer-format`).
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sealbatch.image import ImageError

READ_SIZE: Final = 1024 * 1024
MAX_FILE: Final = 2**32 - 1
"""Bytes of one member: its size has eight hexadecimal digits."""

_TRAILER: Final = "TRAILER!!!"
_BLOCK: Final = 512
"""Archives end on a multiple of this, so that the next one in memory begins aligned."""


class CpioError(ImageError):
    """A file cannot stand in an archive; the text names it."""


@dataclass(frozen=True, slots=True)
class Device:
    """A character device node, `/dev/console` for one: the kernel opens that before anything can be mounted."""

    name: str
    major: int
    minor: int
    mode: int = 0o600


def write_cpio(root: Path, write: Callable[[bytes], object], devices: tuple[Device, ...] = ()) -> None:
    """Write everything below `root`, and `devices`.

    Folders and executables get mode 0755, other files 0644; every owner is root and every time 1970.

    Raises:
        CpioError: something is neither a file, a folder nor a symbolic link, or too large.
        OSError: a file cannot be read.
    """
    archive = _Archive(write)
    nodes = {device.name: device for device in devices}
    names = sorted({*_walk(root), *nodes}, key=os.fsencode)
    for name in names:
        if name in nodes:
            node = nodes[name]
            archive.member(name, stat.S_IFCHR | node.mode, device=(node.major, node.minor))
        else:
            _member(archive, root, name)
    archive.end()


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        relative = Path(folder).relative_to(root)
        for name in (*folders, *files):
            yield (relative / name).as_posix()


def _member(archive: "_Archive", root: Path, name: str) -> None:
    path = root / name
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        target = os.fsencode(path.readlink())
        archive.member(name, stat.S_IFLNK | 0o777, size=len(target))
        archive.data(target)
    elif stat.S_ISDIR(found.st_mode):
        archive.member(name, stat.S_IFDIR | 0o755, links=2)
    elif stat.S_ISREG(found.st_mode):
        if found.st_size > MAX_FILE:
            raise CpioError(f"{name}: {found.st_size} bytes, and a file of an image has at most {MAX_FILE}")
        archive.member(name, stat.S_IFREG | (0o755 if found.st_mode & stat.S_IXUSR else 0o644), size=found.st_size)
        _content(archive, path, found.st_size)
    else:
        raise CpioError(f"{name}: neither a file, a folder nor a symbolic link")


def _content(archive: "_Archive", path: Path, size: int) -> None:
    left = size
    with path.open("rb") as file:
        while block := file.read(min(READ_SIZE, left)):
            archive.data(block)
            left -= len(block)
    if left:
        raise CpioError(f"{path.name}: it shrank while it was read")


class _Archive:
    """Members one after the other, each aligned to four bytes."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._position = 0
        self._inode = 0

    def member(self, name: str, mode: int, *, size: int = 0, links: int = 1, device: tuple[int, int] = (0, 0)) -> None:
        """Begin a member; its `size` bytes of data follow."""
        self._align(4)
        self._inode += 1
        self._header(name, (self._inode, mode, 0, 0, links, 0, size, 0, 0, *device))

    def data(self, block: bytes) -> None:
        """Bytes of the member that was begun last."""
        self._write(block)
        self._position += len(block)

    def end(self) -> None:
        """Close the archive."""
        self._align(4)
        self._header(_TRAILER, (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0))
        self._align(_BLOCK)

    def _header(self, name: str, fields: tuple[int, ...]) -> None:
        """`fields` are ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor and rdevminor."""
        encoded = os.fsencode(name) + b"\0"
        numbers = (*fields, len(encoded), 0)  # and namesize and check
        self.data(b"070701" + b"".join(b"%08x" % number for number in numbers) + encoded)
        self._align(4)

    def _align(self, size: int) -> None:
        self.data(bytes(-self._position % size))
