"""Enclave image files (EIF): their sections, and the registers that the hypervisor will report of them.

The layout is AWS's (aws-nitro-enclaves-image-format, `defs/mod.rs` and `utils/eif_reader.rs`), all numbers big-endian:
a header of 548 bytes (magic, version, flags, memory, CPUs, a table of up to 32 offsets and sizes, CRC-32), then the
sections, each behind 12 bytes of type, flags and size. AWS's reader walks the sections one after the other and QEMU's
follows the table; a file in which the two disagree could be measured as one image and run as another, so it is refused.
"""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from results_consumer.certificates import UNREADABLE
from sealbatch.image import ImageError

MAGIC: Final = b".eif"
VERSIONS: Final = frozenset({3, 4})
"""Versions whose layout is this one; 4 is what AWS's tools write."""
MAX_SECTIONS: Final = 32
MAX_SIGNATURE: Final = 32_768
ARM64: Final = 0x1
READ_SIZE: Final = 1024 * 1024

HEADER: Final = struct.Struct(">4sHHQQHH32Q32QI")
CRC: Final = struct.Struct(">I")
SECTION: Final = struct.Struct(">HHQ")
HEADER_SIZE: Final = HEADER.size + CRC.size


class EifError(ImageError):
    """The file is no image that would boot, or one that two readers would read differently; says which field."""


class SectionKind(IntEnum):
    """Types of sections."""

    KERNEL = 1
    COMMAND_LINE = 2
    RAMDISK = 3
    SIGNATURE = 4
    METADATA = 5


@dataclass(frozen=True, slots=True)
class Section:
    """One section: where its data begins, how many bytes it has, and their SHA-384 (48 bytes)."""

    kind: SectionKind
    offset: int
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Image:
    """A well-formed image: default memory in bytes, `pcrs` by index (48 bytes each; 8 only when it is signed)."""

    version: int
    architecture: str
    memory: int
    cpus: int
    sections: tuple[Section, ...]
    pcrs: dict[int, bytes]


def image_at(path: Path) -> Image:
    """The image in a file, measured.

    Raises:
        EifError: it is malformed; the text names the file. OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return read_image(file)
    except EifError as error:
        raise EifError(f"{path}: {error}") from None


def read_image(file: BinaryIO) -> Image:
    """Read and measure an image in one pass; of its sections only the signature is ever held in memory whole.

    Raises:
        EifError: it is malformed.
        OSError: it cannot be read.
    """
    header = file.read(HEADER_SIZE)
    if len(header) != HEADER_SIZE:
        raise EifError(f"header: {len(header)} bytes instead of {HEADER_SIZE}")
    magic, version, flags, memory, cpus, _, count, *rest = HEADER.unpack(header[: HEADER.size])
    offsets, sizes = rest[:MAX_SECTIONS], rest[MAX_SECTIONS : 2 * MAX_SECTIONS]
    if magic != MAGIC:
        raise EifError("magic: not .eif, so this is no enclave image")
    if version not in VERSIONS:
        raise EifError(f"version: {version} is none of {', '.join(map(str, sorted(VERSIONS)))}")
    if flags & ~ARM64:
        raise EifError(f"flags: {flags:#06x} has unknown bits")
    if not 1 <= count <= MAX_SECTIONS:
        raise EifError(f"num_sections: {count} is not 1 to {MAX_SECTIONS}")
    if any(offsets[count:]) or any(sizes[count:]):
        raise EifError("section table: an entry beyond num_sections is in use")
    reader = _Reader(file, zlib.crc32(header[: HEADER.size]))
    for number in range(count):
        reader.section(number, offsets[number], sizes[number])
    if file.read(1):
        raise EifError("bytes follow the last section")
    if reader.crc != CRC.unpack(header[HEADER.size :])[0]:
        raise EifError("eif_crc32: not the file's checksum, so the file was damaged")
    architecture = "arm64" if flags & ARM64 else "x86_64"
    return Image(version, architecture, memory, cpus, tuple(reader.sections), reader.registers())


class _Reader:
    """Walks the sections; keeps the three measurements and the checksum as it goes."""

    def __init__(self, file: BinaryIO, crc: int) -> None:
        self._file = file
        self._position = HEADER_SIZE
        self.crc = crc
        self.sections: list[Section] = []
        self._measured = {index: hashlib.sha384() for index in (0, 1, 2)}
        self._signature: bytes | None = None

    def section(self, number: int, offset: int, size: int) -> None:
        """Take the next section, which the table says lies at `offset` and has `size` bytes."""
        if offset != self._position:
            raise EifError(f"section {number}: the table says offset {offset}, and it begins at {self._position}")
        header = self._read(SECTION.size, number)
        kind_number, flags, stated = SECTION.unpack(header)
        if stated != size:
            raise EifError(f"section {number}: its own size is {stated}, and the table's {size}")
        if flags:
            raise EifError(f"section {number}: unknown flags {flags:#06x}")
        try:
            kind = SectionKind(kind_number)
        except ValueError:
            raise EifError(f"section {number}: unknown type {kind_number}") from None
        self._order(number, kind, size)
        begin, digest = self._position, hashlib.sha384()
        takers: list[Callable[[bytes], object]] = [digest.update, *self._takers(kind)]
        kept = io.BytesIO()
        if kind is SectionKind.SIGNATURE:
            takers.append(kept.write)
        left = size
        while left:
            block = self._read(min(left, READ_SIZE), number)
            left -= len(block)
            for take in takers:
                take(block)
        if kind is SectionKind.SIGNATURE:
            self._signature = kept.getvalue()
        self.sections.append(Section(kind, begin, size, digest.digest()))

    def registers(self) -> dict[int, bytes]:
        """What PCR0, 1, 2 and, for a signed image, 8 will be."""
        present = {section.kind for section in self.sections}
        for kind in (SectionKind.KERNEL, SectionKind.COMMAND_LINE, SectionKind.RAMDISK):
            if kind not in present:
                raise EifError(f"there is no {kind.name.lower()} section")
        pcrs = {index: extend(measured.digest()) for index, measured in self._measured.items()}
        if self._signature is not None:
            pcrs[8] = extend(hashlib.sha384(_certificate(self._signature)).digest())
        return pcrs

    def _order(self, number: int, kind: SectionKind, size: int) -> None:
        present = [section.kind for section in self.sections]
        if kind is not SectionKind.RAMDISK and kind in present:
            raise EifError(f"section {number}: a second {kind.name.lower()}")
        # AWS's reader measures in the file's order; one that gathers by kind would measure another order differently.
        if kind in {SectionKind.KERNEL, SectionKind.COMMAND_LINE} and SectionKind.RAMDISK in present:
            raise EifError(f"section {number}: {kind.name.lower()} after a ramdisk")
        if not size and kind in {SectionKind.KERNEL, SectionKind.RAMDISK}:
            raise EifError(f"section {number}: an empty {kind.name.lower()}")
        if kind is SectionKind.SIGNATURE and size > MAX_SIGNATURE:
            raise EifError(f"section {number}: a signature of {size} bytes, and {MAX_SIGNATURE} is the most")

    def _takers(self, kind: SectionKind) -> list[Callable[[bytes], object]]:
        """The measurements that a section goes into: the first ramdisk boots, the others are the application."""
        match kind:
            case SectionKind.KERNEL | SectionKind.COMMAND_LINE:
                indices: tuple[int, ...] = (0, 1)
            case SectionKind.RAMDISK:
                first = not any(section.kind is SectionKind.RAMDISK for section in self.sections)
                indices = (0, 1) if first else (0, 2)
            case _:
                indices = ()
        return [self._measured[index].update for index in indices]

    def _read(self, size: int, number: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise EifError(f"section {number}: the file ends in it, at byte {self._position + len(data)}")
        self.crc = zlib.crc32(data, self.crc)
        self._position += size
        return data


def extend(digest: bytes) -> bytes:
    """A register that starts at zero and is extended once by a SHA-384."""
    return hashlib.sha384(bytes(48) + digest).digest()


def _certificate(section: bytes) -> bytes:
    """DER of the signing certificate; in the file it is PEM inside CBOR, and AWS's writer spells bytes as numbers."""
    try:
        found = cbor2.loads(section, max_depth=4)[0]["signing_certificate"]
        if not isinstance(found, bytes | list):
            raise TypeError  # `bytes` of a number would be as many zeros
        return x509.load_pem_x509_certificate(bytes(found)).public_bytes(Encoding.DER)
    except (cbor2.CBORError, *UNREADABLE, KeyError, IndexError, OverflowError, RecursionError):
        raise EifError("signature: not a list of certificates and signatures in CBOR") from None
