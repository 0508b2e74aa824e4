"""Opening a chunk: whatever is wrong with it ends in one code, and nothing of it is believed before the seal is."""

from collections.abc import Mapping

import pytest
from question_factory import IMAGE, Keys, record

from enclave_worker.chunk import open_chunk
from enclave_worker.keyring import Courier, Keyring, Opened
from enclave_worker.refused import ChunkRefused
from wire.envelope import SealedQuestions, seal
from wire.header import AnswerHeader
from wire.messages import RefusalCode, Work
from wire.payload import Record


class StaticKeyring(Keyring):
    """A keyring without KMS: it opens with one key, or refuses."""

    def __init__(self, key: bytes | RefusalCode) -> None:
        self.key = key

    def open(self, sealed: SealedQuestions, _: Courier) -> Opened:
        """See `Keyring.open`."""
        if isinstance(self.key, RefusalCode):
            raise ChunkRefused(self.key)
        return Opened(self.key, sealed.open(self.key))


class NoCourier:
    """Is never asked."""

    def unwrap(self, key_arn: str, context: Mapping[str, str], wrapped: bytes, document: bytes) -> bytes:
        """See `Courier.unwrap`."""
        raise AssertionError(key_arn, context, wrapped, document)


def refusal(work: Work, key: bytes | RefusalCode) -> RefusalCode:
    """The code that a piece of work is refused with."""
    with pytest.raises(ChunkRefused) as caught:
        open_chunk(work, IMAGE, StaticKeyring(key), NoCourier())
    return caught.value.code


RECORDS = [record(number, f"Question {number}?") for number in range(4, 9)]


@pytest.mark.parametrize(("first", "count"), [(4, 5), (4, 1), (8, 1), (5, 3)])
def test_a_range_of_a_chunk_is_what_is_asked_for(first: int, count: int) -> None:
    """A chunk that killed an enclave is asked for again in parts."""
    keyset = Keys()
    chunk = open_chunk(
        Work(1, first, count, keyset.seal(RECORDS)), IMAGE, StaticKeyring(keyset.question_key), NoCourier()
    )
    assert [item.number for item in chunk.records] == list(range(first, first + count))
    assert (chunk.first, chunk.count) == (first, count)


@pytest.mark.parametrize(("first", "count"), [(3, 2), (4, 6), (8, 2), (0, 1), (9, 1), (4, 2**40), (2**40, 1)])
def test_a_range_outside_the_chunk_is_malformed(first: int, count: int) -> None:
    """The parent chooses the range; the header, which the seal binds, says what there is."""
    keyset = Keys()
    assert refusal(Work(1, first, count, keyset.seal(RECORDS)), keyset.question_key) is RefusalCode.MALFORMED


@pytest.mark.parametrize("data", [b"", b"SEAL", b"garbage" * 100])
def test_what_is_no_sealed_object_is_malformed(data: bytes) -> None:
    """It does not even get to the keyring."""
    assert refusal(Work(1, 4, 5, data), RefusalCode.INTERNAL) is RefusalCode.MALFORMED


def test_answers_are_not_questions() -> None:
    """The direction is part of the object: an answer that is sent back in is refused before any key is asked for."""
    header = AnswerHeader(
        tenant="benefits", job=Keys().job, image=IMAGE, chunk=0, first=4, count=5,
        key_arn="arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000b",
        wrapped_digest=bytes(32), question_digest=bytes(32), model=bytes(32), template=bytes(32),
    )  # fmt: skip
    sealed = seal(header, bytes(32), b"x")
    assert refusal(Work(1, 4, 5, sealed), RefusalCode.INTERNAL) is RefusalCode.MALFORMED


def test_a_chunk_for_another_image_is_refused_before_kms_is_asked() -> None:
    """The submitter demanded an image, and this one is not it."""
    keyset = Keys()
    sealed = keyset.seal(RECORDS, image="ab" * 48)
    assert refusal(Work(1, 4, 5, sealed), RefusalCode.INTERNAL) is RefusalCode.WRONG_IMAGE


def test_the_wrong_key_and_a_changed_byte_look_alike() -> None:
    """One code, whatever the reason."""
    keyset = Keys()
    sealed = bytearray(keyset.seal(RECORDS))
    assert refusal(Work(1, 4, 5, bytes(sealed)), bytes(32)) is RefusalCode.UNSEAL_FAILED
    sealed[-40] ^= 1
    assert refusal(Work(1, 4, 5, bytes(sealed)), keyset.question_key) is RefusalCode.UNSEAL_FAILED


@pytest.mark.parametrize("code", [RefusalCode.KEY_DENIED, RefusalCode.KEY_UNAVAILABLE, RefusalCode.KEY_INVALID])
def test_what_kms_says_is_passed_on(code: RefusalCode) -> None:
    """The bridge does another thing for each of them."""
    assert refusal(Work(1, 4, 5, Keys().seal(RECORDS)), code) is code


@pytest.mark.parametrize(
    "records",
    [RECORDS[:-1], RECORDS[1:], RECORDS[::-1], [*RECORDS[:-1], RECORDS[0]], []],
    ids=["one too few", "first missing", "reversed", "one twice", "none"],
)
def test_records_that_are_not_the_headers_are_malformed(records: list[Record]) -> None:
    """A colluding producer cannot make two answers claim one record, or leave one out."""
    keyset = Keys()
    sealed = keyset.seal(RECORDS, plaintext=keyset.payload(records))
    assert refusal(Work(1, 4, 5, sealed), keyset.question_key) is RefusalCode.MALFORMED


@pytest.mark.parametrize("plaintext", [b"", b"\x00", b"\x95" + bytes(50), b"not msgpack at all"])
def test_a_true_seal_around_nonsense_is_malformed(plaintext: bytes) -> None:
    """Whoever holds the question key may still be wrong."""
    keyset = Keys()
    assert (
        refusal(Work(1, 4, 5, keyset.seal(RECORDS, plaintext=plaintext)), keyset.question_key) is RefusalCode.MALFORMED
    )
