"""Writes enclave image files. The layout is that of `sealbatch.image.eif`, which reads and measures them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from sealbatch.image.eif import CRC, HEADER, HEADER_SIZE, MAGIC, MAX_SECTIONS, READ_SIZE, SECTION, EifError, SectionKind

VERSION: Final = 4
DEFAULT_MEMORY: Final = 1024 * 1024 * 1024
DEFAULT_CPUS: Final = 2
"""What AWS's tools write too; `nitro-cli run-enclave` is always told both."""


@dataclass(frozen=True, slots=True)
class Part:
    """One section: its kind, and its data or the file that holds it."""

    kind: SectionKind
    data: bytes | Path

    @property
    def size(self) -> int:
        """Bytes of the data."""
        return len(self.data) if isinstance(self.data, bytes) else self.data.stat().st_size


def write_image(file: BinaryIO, parts: Sequence[Part]) -> None:
    """Write an x86-64 image of `parts`, in their order, to a file that can be read and sought.

    Raises:
        EifError: too many parts. OSError: one cannot be read, or the file not be written.
    """
    if not 0 < len(parts) <= MAX_SECTIONS:
        raise EifError(f"num_sections: {len(parts)} is not 1 to {MAX_SECTIONS}")
    sizes = [part.size for part in parts]
    offsets, position = [], HEADER_SIZE
    for size in sizes:
        offsets.append(position)
        position += SECTION.size + size
    unused = [0] * (MAX_SECTIONS - len(parts))
    table = (*offsets, *unused, *sizes, *unused)
    header = HEADER.pack(MAGIC, VERSION, 0, DEFAULT_MEMORY, DEFAULT_CPUS, 0, len(parts), *table, 0)
    file.write(header + bytes(CRC.size))
    crc = zlib.crc32(header)
    for part, size in zip(parts, sizes, strict=True):
        crc = _write_section(file, part, size, crc)
    file.seek(HEADER.size)
    file.write(CRC.pack(crc))


def _write_section(file: BinaryIO, part: Part, size: int, crc: int) -> int:
    """Write one section; the checksum with it taken in."""
    head = SECTION.pack(part.kind, 0, size)
    crc = zlib.crc32(head, crc)
    file.write(head)
    if isinstance(part.data, bytes):
        file.write(part.data)
        return zlib.crc32(part.data, crc)
    written = 0
    with part.data.open("rb") as source:
        while block := source.read(READ_SIZE):
            file.write(block)
            written += len(block)
            crc = zlib.crc32(block, crc)
    if written != size:
        raise EifError(f"{part.kind.name.lower()}: its file changed while it was read")
    return crc
