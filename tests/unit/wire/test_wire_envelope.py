"""Sealed objects: every byte is bound, every key is its own."""

import dataclasses

import pytest
import wire_samples as samples

from wire import envelope, keys
from wire.errors import SealError


def flipped(data: bytes, at: int) -> bytes:
    """`data` with the lowest bit of one byte changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_questions_open_to_what_was_sealed() -> None:
    """The payload and every header field come back."""
    sealed = envelope.parse_questions(samples.QUESTIONS)
    assert sealed.open(samples.KEY) == samples.QUESTION_PAYLOAD
    assert sealed.header == samples.question_header()


def test_answers_open_to_what_was_sealed() -> None:
    """The payload and every header field come back."""
    sealed = envelope.parse_answers(samples.ANSWERS)
    assert sealed.open(samples.ANSWER_KEY) == samples.RESULT_PAYLOAD
    assert sealed.header == samples.answer_header()


@pytest.mark.parametrize("sample", ["QUESTIONS", "ANSWERS"])
def test_every_changed_byte_is_noticed(sample: str) -> None:
    """No byte of an object can be changed without one SealError, whichever check it is that notices."""
    data: bytes = getattr(samples, sample)
    key = samples.KEY if sample == "QUESTIONS" else samples.ANSWER_KEY
    parse = envelope.parse_questions if sample == "QUESTIONS" else envelope.parse_answers
    for at in [*range(700), *range(len(data) - 30, len(data))]:
        with pytest.raises(SealError):
            parse(flipped(data, at)).open(key)


def test_a_changed_header_does_not_open_even_with_its_own_commitment() -> None:
    """Even a header re-made by someone who has the key does not fit another object's ciphertext."""
    proof = keys.commitment(samples.KEY, [1, "other", samples.JOB, 2, 4, 3])
    header = dataclasses.replace(samples.question_header(), tenant="other", commitment=proof)
    forged = envelope._seal(header, samples.KEY, samples.QUESTION_PAYLOAD, samples.NONCE)
    sealed = envelope.parse_questions(forged)
    swapped = dataclasses.replace(sealed, ciphertext=envelope.parse_questions(samples.QUESTIONS).ciphertext)
    with pytest.raises(SealError, match="does not open"):
        swapped.open(samples.KEY)


def test_another_key_fails_with_the_same_words_as_a_changed_ciphertext() -> None:
    """Nobody learns which check failed."""
    sealed = envelope.parse_questions(samples.QUESTIONS)
    with pytest.raises(SealError) as wrong_key:
        sealed.open(bytes(32))
    with pytest.raises(SealError) as wrong_tag:
        dataclasses.replace(sealed, ciphertext=flipped(sealed.ciphertext, 5)).open(samples.KEY)
    assert str(wrong_key.value) == str(wrong_tag.value)


def test_a_ciphertext_under_two_keys_is_stopped_by_the_commitment() -> None:
    """AES-GCM alone would let a sender make one object that opens under two keys; the commitment names one."""
    other = bytes(31) + b"\1"
    header = samples.question_header()
    sealed = envelope.parse_questions(envelope._seal(header, other, b"x", samples.NONCE))
    with pytest.raises(SealError, match="does not open"):
        sealed.open(other)


def test_directions_are_not_exchanged() -> None:
    """A sealed question is no answer, and the other way round."""
    with pytest.raises(SealError, match="direction"):
        envelope.parse_answers(samples.QUESTIONS)
    with pytest.raises(SealError, match="direction"):
        envelope.parse_questions(samples.ANSWERS)


def test_a_chunk_sealed_twice_looks_different() -> None:
    """Nonces are fresh: equal payloads under one key give no equal bytes."""
    one, two = (envelope.seal(samples.question_header(), samples.KEY, b"x") for _ in range(2))
    assert one != two
    assert envelope.parse_questions(one).open(samples.KEY) == envelope.parse_questions(two).open(samples.KEY) == b"x"


@pytest.mark.parametrize(
    ("size", "padded"),
    [(1, 4096), (4096, 4096), (4097, 8192), (8192, 8192), (100_000, 131_072), (8 * 2**20, 8 * 2**20)],
)
def test_sizes_come_in_buckets(size: int, padded: int) -> None:
    """A plaintext is padded to a power of two from 4 KiB."""
    assert envelope.bucket(size) == padded


def test_payloads_of_one_bucket_give_objects_of_one_size() -> None:
    """The length of what is asked does not show within a bucket."""
    header = samples.question_header()
    sizes = {len(envelope._seal(header, samples.KEY, bytes(n), samples.NONCE)) for n in (0, 1, 2000, 4092)}
    assert len(sizes) == 1


@pytest.mark.parametrize("size", [0, envelope.MAX_PAYLOAD])
def test_the_smallest_and_the_largest_payload_go_through(size: int) -> None:
    """Both ends of the range are sealed and opened."""
    sealed = envelope._seal(samples.question_header(), samples.KEY, bytes(size), samples.NONCE)
    assert envelope.parse_questions(sealed).open(samples.KEY) == bytes(size)


def test_a_payload_above_the_limit_is_our_own_misuse() -> None:
    """Nothing is sealed that could not be opened."""
    with pytest.raises(ValueError, match="at most"):
        envelope._seal(samples.question_header(), samples.KEY, bytes(envelope.MAX_PAYLOAD + 1), samples.NONCE)


def test_a_header_that_would_be_refused_is_not_sealed() -> None:
    """An alias in place of a key ARN is our own misuse."""
    header = dataclasses.replace(samples.question_header(), key_arn="alias/questions")
    with pytest.raises(ValueError, match="key_arn"):
        envelope._seal(header, samples.KEY, b"", samples.NONCE)


def test_padding_must_be_zeros() -> None:
    """Whoever has the key still cannot smuggle bytes in the padding."""
    header = samples.question_header()
    sealed = envelope.parse_questions(envelope._seal(header, samples.KEY, b"", samples.NONCE))
    cipher = envelope.AESGCM(keys.seal_key(samples.KEY, header.binding()))
    dirty = cipher.encrypt(samples.NONCE, bytes(4095) + b"\1", sealed.associated)
    with pytest.raises(SealError, match="does not open"):
        dataclasses.replace(sealed, ciphertext=dirty).open(samples.KEY)


def test_questions_carry_no_receipt() -> None:
    """Only answers have a place for one."""
    with pytest.raises(SealError, match="no receipt"):
        envelope.parse_questions(samples.QUESTIONS[:-4] + b"\0\0\0\1r")
    assert envelope.parse_answers(samples.ANSWERS[:-4] + b"\0\0\0\1r").receipt == b"r"


def test_a_receipt_is_sealed_behind_the_answers_and_opens_under_their_key() -> None:
    """It counts outcomes and tokens, which are nobody's business on the way."""
    sealed = envelope.parse_answers(samples.RECEIPTED)
    assert sealed.open_receipt(samples.ANSWER_KEY) == samples.RECEIPT
    assert sealed.open(samples.ANSWER_KEY) == samples.RESULT_PAYLOAD
    assert sealed.body_digest == envelope.body_digest(samples.ANSWERS)
    assert samples.RECEIPT_PAYLOAD not in samples.RECEIPTED
    assert envelope.parse_answers(samples.ANSWERS).open_receipt(samples.ANSWER_KEY) == b""


def test_receipts_have_one_size() -> None:
    """What is counted does not show in a length."""
    sizes = {len(envelope.attach_receipt(samples.ANSWERS, samples.ANSWER_KEY, bytes(n))) for n in (1, 600, 8188)}
    assert len(sizes) == 1
    assert len(envelope.attach_receipt(samples.ANSWERS, samples.ANSWER_KEY, bytes(8189))) - sizes.pop() == 8192


@pytest.mark.parametrize("key", [bytes(32), samples.KEY])
def test_a_receipt_does_not_open_under_another_key(key: bytes) -> None:
    """The question key included."""
    with pytest.raises(SealError, match="does not open"):
        envelope.parse_answers(samples.RECEIPTED).open_receipt(key)


def test_a_receipt_moved_to_other_answers_does_not_open() -> None:
    """It is bound to the bytes before it, even under the same key and at the same place."""
    other = envelope._seal(samples.answer_header(), samples.ANSWER_KEY, samples.RESULT_PAYLOAD, bytes(12))
    moved = other[:-4] + samples.RECEIPTED[len(other) - 4 :]
    with pytest.raises(SealError, match="does not open"):
        envelope.parse_answers(moved).open_receipt(samples.ANSWER_KEY)
    assert envelope.parse_answers(moved).open(samples.ANSWER_KEY) == samples.RESULT_PAYLOAD


def test_every_changed_byte_of_a_receipt_is_noticed() -> None:
    """Nonce, ciphertext and tag."""
    for at in range(len(samples.ANSWERS), len(samples.RECEIPTED), 97):
        with pytest.raises(SealError):
            envelope.parse_answers(flipped(samples.RECEIPTED, at)).open_receipt(samples.ANSWER_KEY)


@pytest.mark.parametrize("receipt", [b"", bytes(16381)])
def test_no_receipt_and_one_too_long_are_our_own_misuse(receipt: bytes) -> None:
    """Nothing is attached that could not be read."""
    with pytest.raises(ValueError, match="empty or too long"):
        envelope.attach_receipt(samples.ANSWERS, samples.ANSWER_KEY, receipt)
    with pytest.raises(ValueError, match="have a receipt"):
        envelope.attach_receipt(samples.RECEIPTED, samples.ANSWER_KEY, b"r")


def test_sizes_come_in_the_classes_that_the_threat_model_counts() -> None:
    """Twelve, of which each object shows one."""
    assert len({envelope.bucket(size) for size in (1 << n for n in range(24))}) == 12
    assert envelope.bucket(envelope.MAX_PAYLOAD + 4) == 8 * 2**20
