"""Sealed files: what goes in comes out, from any place in it, and nothing else does."""

import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_aws import ACCOUNT, MemoryKms

from aws_errors.service_error import ServiceError
from producer.errors import SealedFileError
from producer.sealed_file import MAX_HEADER, PREFIX, SEGMENT, TAG, Owner, open_file, read_header, seal_file

OWNER = Owner(ACCOUNT + "a", "benefits", "nightly")


def sealed(data: bytes) -> tuple[bytes, MemoryKms]:
    """A sealed file, and the KMS that opens it."""
    kms, out = MemoryKms(), io.BytesIO()
    kms_client: Any = kms
    assert seal_file(io.BytesIO(data), out, kms_client, OWNER) == len(data)
    return out.getvalue(), kms


def opened(data: bytes, kms: MemoryKms, owner: Owner = OWNER) -> io.BufferedReader:
    """What is in a sealed file."""
    return open_file(io.BytesIO(data), len(data), kms, owner)


SIZES = [0, 1, 1000, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 17]


@pytest.mark.parametrize("size", SIZES)
def test_what_went_in_comes_out(size: int) -> None:
    """Whole, by lines, and with the size that its header promises; nothing of it is in the sealed bytes."""
    data = (b"a question with a secret\n" * (size // 25 + 1))[:size]
    box, kms = sealed(data)
    assert read_header(box[: PREFIX.size + MAX_HEADER]).plain_size(len(box)) == size
    assert opened(box, kms).read() == data
    assert list(opened(box, kms)) == data.splitlines(keepends=True)
    assert b"secret" not in box


@given(st.lists(st.tuples(st.integers(0, 3 * SEGMENT + 99), st.integers(0, SEGMENT + 9)), max_size=8))
def test_any_place_can_be_read(places: list[tuple[int, int]]) -> None:
    """As in the file itself."""
    data = bytes(number % 251 for number in range(3 * SEGMENT + 17))
    box, kms = BOX
    file = opened(box, kms)
    for begin, count in places:
        file.seek(begin)
        assert file.read(count) == data[begin : begin + count]


BOX = sealed(bytes(number % 251 for number in range(3 * SEGMENT + 17)))


@given(st.data())
def test_a_changed_byte_is_found(data: st.DataObject) -> None:
    """Wherever it is, reading ends with one error, and not with other bytes."""
    box, kms = BOX
    at = data.draw(st.integers(0, len(box) - 1))
    bent = bytearray(box)
    bent[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((SealedFileError, ServiceError)):
        opened(bytes(bent), kms).read()


@pytest.mark.parametrize("cut", [1, TAG, 17 + TAG, 17 + TAG + 1, SEGMENT + TAG + 17 + TAG])
def test_a_file_that_was_cut_is_found(cut: int) -> None:
    """Also where a segment ends."""
    box, kms = BOX
    with pytest.raises(SealedFileError):
        opened(box[:-cut], kms).read()


def test_segments_cannot_be_exchanged() -> None:
    """Within a file or between two."""
    box, kms = BOX
    start = read_header(box).size
    step = SEGMENT + TAG
    swapped = box[:start] + box[start + step : start + 2 * step] + box[start : start + step] + box[start + 2 * step :]
    with pytest.raises(SealedFileError):
        opened(swapped, kms).read()


@pytest.mark.parametrize(
    "other",
    [replace(OWNER, schedule="other"), replace(OWNER, tenant="other"), replace(OWNER, key_arn=ACCOUNT + "b")],
)
def test_a_file_for_somebody_else_is_refused(other: Owner) -> None:
    """Before KMS is asked."""
    box, kms = BOX
    before = kms.decrypts
    with pytest.raises(SealedFileError, match="another key, or for another tenant or schedule"):
        opened(box, kms, other)
    assert kms.decrypts == before


@given(st.binary(max_size=400))
def test_any_bytes_are_a_header_or_no_sealed_file(data: bytes) -> None:
    """Whatever somebody puts into the bucket."""
    for begin in (b"", b"SLFL\x01", b"SLFL\x01\x00\x40"):
        with pytest.raises(SealedFileError):
            read_header(begin + data)
