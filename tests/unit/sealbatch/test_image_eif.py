"""Enclave image files: measured as AWS documents it, and refused when malformed."""

import base64
import contextlib
import hashlib
import io
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

import cbor2
import pytest
from command import Typist
from cryptography.hazmat.primitives.serialization import Encoding
from eif_samples import PARTS, build
from hypothesis import given
from hypothesis import strategies as st

from devstack.root import DevelopmentRoot
from results_consumer.trust import parse_release
from sealbatch.image.eif import HEADER_SIZE, EifError, Image, SectionKind, read_image


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    """`data` with bytes replaced and its checksum made right again."""
    changed = data[:offset] + value + data[offset + len(value) :]
    return changed[:544] + struct.pack(">I", zlib.crc32(changed[548:], zlib.crc32(changed[:544]))) + changed[548:]


def odd_certificate(encoding: Encoding) -> bytes:
    """A certificate whose version nobody knows: `cryptography` has an error of its own for it."""
    certificate = DevelopmentRoot.create(datetime(2026, 9, 1, tzinfo=UTC)).certificate
    der = certificate.public_bytes(Encoding.DER).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x32", 1)
    if encoding is Encoding.DER:
        return der
    text = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


def read(data: bytes) -> Image:
    """Read from memory."""
    return read_image(io.BytesIO(data))


def register(*data: bytes) -> bytes:
    """SHA384(48 zero bytes, SHA384(data))."""
    return hashlib.sha384(bytes(48) + hashlib.sha384(b"".join(data)).digest()).digest()


def test_the_registers_are_those_that_aws_describes() -> None:
    """PCR0 covers kernel, command line and all ramdisks, PCR1 the first ramdisk, PCR2 the others; metadata none."""
    image = read(build(PARTS))
    kernel, line, init, application = (data for _, data in PARTS[:4])
    assert image.pcrs == {
        0: register(kernel, line, init, application),
        1: register(kernel, line, init),
        2: register(application),
    }
    assert (image.version, image.architecture, image.memory, image.cpus) == (4, "x86_64", 2**29, 2)
    assert [section.kind for section in image.sections] == [SectionKind(kind) for kind, _ in PARTS]
    assert read(build(PARTS[:4], flags=1)).architecture == "arm64"


def test_pcr2_of_an_image_with_one_ramdisk_is_the_known_constant() -> None:
    """The value that AWS's tools print for an image whose application part is empty."""
    assert read(build(PARTS[:3])).pcrs[2].hex().startswith("21b9efbc184807662e96")


@pytest.mark.parametrize("as_numbers", [True, False])
def test_pcr8_is_the_signing_certificate_in_der(as_numbers: bool) -> None:
    """The file holds it as PEM in CBOR, as bytes or as AWS's writer spells them, an array of numbers."""
    certificate = DevelopmentRoot.create(datetime(2026, 9, 1, tzinfo=UTC)).certificate
    pem = certificate.public_bytes(Encoding.PEM)
    value = [{"signing_certificate": list(pem) if as_numbers else pem, "signature": b"s"}]
    image = read(build([*PARTS, (4, cbor2.dumps(value))]))
    assert image.pcrs[8] == register(certificate.public_bytes(Encoding.DER))
    assert image.pcrs[0] == read(build(PARTS)).pcrs[0]


WHOLE = build(PARTS)
REFUSED = {
    "magic": (patched(WHOLE, 0, b"\x7fELF"), "magic"),
    "version": (patched(WHOLE, 4, b"\0\5"), "version: 5"),
    "unknown flags": (patched(WHOLE, 6, b"\0\2"), "flags"),
    "no sections": (patched(WHOLE, 26, b"\0\0"), "num_sections"),
    "too many sections": (patched(WHOLE, 26, b"\0\x21"), "num_sections"),
    "table entry beyond the count": (patched(WHOLE, 28 + 31 * 8, b"\1"), "beyond num_sections"),
    "offset elsewhere": (patched(WHOLE, 28 + 8, (700).to_bytes(8, "big")), "section 1: the table says offset 700"),
    "two sizes": (patched(WHOLE, 28 + 32 * 8, (5).to_bytes(8, "big")), "section 0: its own size is 6"),
    "section flags": (patched(WHOLE, 548 + 2, b"\0\1"), "section 0: unknown flags"),
    "section type": (patched(WHOLE, 548, b"\0\7"), "section 0: unknown type 7"),
    "two kernels": (build([*PARTS, (1, b"k")]), "section 5: a second kernel"),
    "kernel after ramdisk": (build([(3, b"r"), (1, b"k")]), "section 1: kernel after a ramdisk"),
    "empty kernel": (build([(1, b""), (2, b""), (3, b"r")]), "section 0: an empty kernel"),
    "no ramdisk": (build(PARTS[:2]), "no ramdisk"),
    "no command line": (build([(1, b"k"), (3, b"r")]), "no command_line"),
    "long signature": (build([*PARTS, (4, bytes(32_769))]), "signature of 32769"),
    "odd signature": (build([*PARTS, (4, cbor2.dumps([{}]))]), "signature: not"),
    "certificate of version 51": (
        build([*PARTS, (4, cbor2.dumps([{"signing_certificate": odd_certificate(Encoding.PEM)}]))]),
        "signature: not",
    ),
    "certificate that is a number, and took as much memory": (
        build([*PARTS, (4, cbor2.dumps([{"signing_certificate": 2**40}]))]),
        "signature: not",
    ),
    "trailing byte": (WHOLE + b"\0", "follow the last section"),
    "wrong checksum": (WHOLE[:-1] + b"!", "eif_crc32"),
    "empty file": (b"", "header: 0 bytes"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_malformed_image_is_refused_with_the_field(data: bytes, reason: str) -> None:
    """Each fault alone, the checksum being right where that is not the fault."""
    with pytest.raises(EifError, match=reason):
        read(data)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_cut_image_is_refused_wherever_it_is_cut(size: int) -> None:
    """No prefix of an image is one."""
    with pytest.raises(EifError):
        read(WHOLE[:size])


@given(st.integers(0, len(WHOLE) * 8 - 1))
def test_one_flipped_bit_is_refused(bit: int) -> None:
    """The checksum covers every byte."""
    changed = bytearray(WHOLE)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(EifError):
        read(bytes(changed))


@given(st.integers(HEADER_SIZE, len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte_with_a_right_checksum_is_another_image_or_metadata(offset: int, mask: int) -> None:
    """What the checksum cannot find, PCR0 shows, but for metadata, which nobody measures."""
    changed = patched(WHOLE, offset, bytes([WHOLE[offset] ^ mask]))
    try:
        image = read(changed)
    except EifError:
        return
    assert (image.pcrs == read(WHOLE).pcrs) == (offset >= len(WHOLE) - len(PARTS[-1][1]))


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_are_an_image_or_refused(data: bytes) -> None:
    """No other error."""
    for candidate in (data, patched(WHOLE, 4, data[:600])):
        with contextlib.suppress(EifError):
            read(candidate)


def test_measure_prints_registers_writes_a_release_and_refuses(tmp_path: Path) -> None:
    """The command's three ends: JSON lines in a pipe, a release that readers take, exit code 8 with a reason."""
    typist, path = Typist(tmp_path), tmp_path / "x.eif"
    path.write_bytes(WHOLE)
    measured = typist.type("image", "measure", str(path))
    assert measured.returncode == 0
    assert read(WHOLE).pcrs[0].hex().encode() in measured.stdout
    release = typist.type("image", "release", str(path), "--name", "1.0").stdout
    assert parse_release(release).pcrs == read(WHOLE).pcrs
    assert typist.type("image", "inspect", str(path)).stdout.count(b"sha384") == len(PARTS)
    path.write_bytes(WHOLE[:-1])
    refused = typist.type("image", "measure", str(path))
    assert refused.returncode == 8
    assert b"section 4: the file ends in it" in refused.stderr
