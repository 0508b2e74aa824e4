"""Tickets, manifests, pages, payloads, queue messages and notes: what goes in comes out, what is off is named."""

import dataclasses
import hashlib

import pytest
import wire_samples as samples
from hypothesis import given
from hypothesis import strategies as st

from wire import keys, ledger, manifest, messages, payload
from wire.commitments import result_commitment
from wire.errors import LedgerError, ManifestError, MessageError, TicketError
from wire.merkle import MerkleTree
from wire.ticket import TICKET_LENGTH, Ticket, new_job_id


def test_a_ticket_reads_back() -> None:
    """Job and digest come back from its text."""
    ticket = Ticket(new_job_id(), bytes(range(16)))
    assert Ticket.parse(str(ticket)) == ticket
    assert len(str(ticket)) == TICKET_LENGTH


def test_each_single_mistyped_character_of_a_ticket_is_noticed() -> None:
    """The check sum catches every one-letter slip before anything is asked of AWS."""
    text = samples.TICKET
    for at in range(4, len(text)):
        for letter in "ab7":
            if text[at] != letter:
                with pytest.raises(TicketError, match="mistyped"):
                    Ticket.parse(text[:at] + letter + text[at + 1 :])


@pytest.mark.parametrize(
    "text", ["", "sb1-", "sb1-abc", samples.TICKET.upper(), samples.TICKET + "a", "sb1-" + "1" * 48]
)
def test_what_is_no_ticket_is_told_how_one_looks(text: str) -> None:
    """The message says the shape."""
    with pytest.raises(TicketError, match="48 letters and digits"):
        Ticket.parse(text)


def test_a_manifest_is_authentic_only_under_its_answer_key() -> None:
    """The HMAC holds under the first keyset's answer key and no other."""
    assert manifest.verify_manifest(samples.MANIFEST, samples.ANSWER_KEY) == samples.MANIFEST_VALUE
    with pytest.raises(ManifestError, match="not authentic"):
        manifest.verify_manifest(samples.MANIFEST, samples.KEY)


def test_a_manifest_with_wrong_counts_is_not_made() -> None:
    """Pages follow from chunks; anything else is our own misuse."""
    with pytest.raises(ValueError, match="counts"):
        manifest.encode_manifest(dataclasses.replace(samples.MANIFEST_VALUE, pages=2), samples.ANSWER_KEY)


def test_a_page_reads_back() -> None:
    """Its entries come back in order."""
    assert manifest.decode_page(samples.PAGE) == samples.ENTRIES


def test_payloads_read_back() -> None:
    """Records, parameters and results come back."""
    questions = payload.QuestionPayload.decode(samples.QUESTION_PAYLOAD)
    assert questions.records == samples.RECORDS
    assert questions.answer_key == samples.ANSWER_KEY
    assert payload.AnswerPayload.decode(samples.RESULT_PAYLOAD).results == samples.RESULTS


@pytest.mark.parametrize(
    "record",
    [
        dataclasses.replace(samples.RECORDS[0], custom_id="a b"),
        dataclasses.replace(samples.RECORDS[0], custom_id="c" * 65),
        dataclasses.replace(samples.RECORDS[0], line=0),
        dataclasses.replace(samples.RECORDS[0], messages=()),
        dataclasses.replace(samples.RECORDS[2], messages=samples.RECORDS[0].messages),
        dataclasses.replace(samples.RECORDS[0], messages=(payload.Message("user", "x" * 131_073),)),
        dataclasses.replace(samples.RECORDS[0], params=payload.Params(temperature=2.5)),
        dataclasses.replace(samples.RECORDS[0], params=payload.Params(max_tokens=0)),
        dataclasses.replace(samples.RECORDS[0], params=payload.Params(stop=("",))),
        dataclasses.replace(samples.RECORDS[0], params=payload.Params(stop=("a",) * 5)),
    ],
)
def test_a_record_outside_the_limits_is_refused_without_a_word_of_it(record: payload.Record) -> None:
    """The enclave refuses what a producer of ours would never seal, and its error quotes nothing."""
    data = payload.QuestionPayload(bytes(32), samples.ANSWER_ARN, bytes(32), bytes(32), (record,)).encode()
    with pytest.raises(MessageError) as caught:
        payload.QuestionPayload.decode(data)
    assert "How many" not in str(caught.value)


def test_bug_whole_numbers_for_real_ones_were_sealed_so_that_no_enclave_could_read_them() -> None:
    """Python's types allow `Params(temperature=0)`."""
    record = dataclasses.replace(
        samples.RECORDS[0], params=payload.Params(temperature=0, top_p=1, repetition_penalty=1)
    )
    data = payload.QuestionPayload(bytes(32), samples.ANSWER_ARN, bytes(32), bytes(32), (record,)).encode()
    assert payload.QuestionPayload.decode(data).records == (record,)


def test_an_error_code_belongs_to_the_outcome_errored() -> None:
    """A result cannot be an answer and an error at once."""
    result = dataclasses.replace(samples.RESULTS[0], error=payload.ErrorCode.INTERNAL_ERROR)
    with pytest.raises(MessageError, match="errored"):
        payload.AnswerPayload.decode(payload.AnswerPayload("m", bytes(32), (result,)).encode())


@pytest.mark.parametrize("message", samples.MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_read_back(message: messages.Message) -> None:
    """Each type comes back as it was."""
    assert messages.decode(messages.encode(message)) == message


def test_a_message_that_a_peer_would_refuse_is_not_made() -> None:
    """A context that names a key twice is our own misuse."""
    with pytest.raises(ValueError, match="twice"):
        messages.encode(messages.Unwrap(1, samples.QUESTION_ARN, (("a", "b"), ("a", "c")), b"w", b"d"))


def test_a_chunk_travels_inline_only_while_it_fits() -> None:
    """A large chunk leaves its place, digest and size in the message, and stays in S3."""
    small = ledger.ChunkMessage("a", samples.JOB, 1, 64, 32, bytes(32), 3, b"abc")
    assert ledger.parse_chunk_message(small.encode()) == small
    data = bytes(ledger.MAX_BODY)
    large = ledger.ChunkMessage("a", samples.JOB, 1, 64, 32, hashlib.sha256(data).digest(), len(data), data)
    assert len(large.encode()) < 400
    assert ledger.parse_chunk_message(large.encode()) == dataclasses.replace(large, inline=None)


def test_bug_base64_with_a_letter_outside_ascii_raised_a_foreign_error() -> None:
    """A queue message whose inline object holds such a letter is refused as any other damaged one."""
    body = ledger.ChunkMessage("a", samples.JOB, 0, 0, 1, bytes(32), 1, b"x").encode()
    with pytest.raises(LedgerError, match="inline is not base64"):
        ledger.parse_chunk_message(body.replace("eA==", "\x80eA=="))


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "null",
        '{"v":1}',
        '{"v":1,"v":1}',
        "[" * 10_000,
        '{"a":' + "9" * 5000 + "}",
        ledger.ChunkMessage("a", samples.JOB, 0, 0, 1, bytes(32), 1, None).encode().replace('"v":1', '"v":2'),
        ledger.ChunkMessage("a", samples.JOB, 0, 0, 1, bytes(32), 1, None)
        .encode()
        .replace('"count":1', '"count":true'),
        ledger.ChunkMessage("a", samples.JOB, 0, 0, 1, bytes(32), 1, None).encode().replace('"count":1', '"count":1.0'),
        ledger.ChunkMessage("../b", samples.JOB, 0, 0, 1, bytes(32), 1, None).encode(),
        ledger.ChunkMessage("a", samples.JOB, 0, 0, 1, bytes(32), 1, None).encode()[:-1] + ',"more":1}',
        ledger.ChunkMessage("a", samples.JOB, 0, 0, 1, bytes(32), 1, b"x").encode().replace("eA==", "e*=="),
        ledger.ChunkMessage("a", samples.JOB, 0, 0, 1, bytes(32), 1, None).encode().replace('"v":1', '"v":true'),
        ledger.ChunkMessage("a", samples.JOB, 0, 0, 1, bytes(32), 1, None).encode().replace('"v":1', '"v":1,"v":1'),
        ledger.ChunkMessage("a\n", samples.JOB, 0, 0, 1, bytes(32), 1, None).encode(),
        ledger.ChunkMessage("a", samples.JOB, 0, 0, 1, bytes(32), 1, None).encode() + " " * ledger.MAX_BODY,
    ],
)
def test_a_queue_message_that_is_off_is_refused(body: str) -> None:
    """Foreign, old and damaged messages give the one error."""
    with pytest.raises(LedgerError):
        ledger.parse_chunk_message(body)


@pytest.mark.parametrize(("first", "count"), [(2**40, 2), (0, 4097), (0, 2**40)])
def test_bug_a_message_of_more_records_than_there_can_be_stopped_the_bridge(first: int, count: int) -> None:
    """It was divided into pieces of numbers that no enclave can be asked for, or counted out one by one in memory."""
    with pytest.raises(LedgerError):
        ledger.parse_chunk_message(ledger.ChunkMessage("a", samples.JOB, 0, first, count, bytes(32), 1, None).encode())


@pytest.mark.parametrize(
    "name", ["1.0.1", "00000001.00.1", "00000001.0.0", "00000001.0.1~xyz", "00000001.0.1.2", "a.b.c"]
)
def test_an_object_name_has_one_spelling(name: str) -> None:
    """Foreign objects under the answers' prefix are told from ours by name."""
    with pytest.raises(LedgerError):
        ledger.parse_answer_name(name)


def test_an_answer_key_reads_back_with_its_alternative() -> None:
    """Chunk, range and the digest of an alternative come back from the name."""
    key = ledger.answer_key("a", samples.JOB, 12, 384, 32)
    name = ledger.alternative(key, b"other").rpartition("/")[2]
    digest = hashlib.sha256(b"other").hexdigest()[:16]
    assert ledger.parse_answer_name(key.rpartition("/")[2]) == ledger.AnswerName(12, 384, 32, None)
    assert ledger.parse_answer_name(name) == ledger.AnswerName(12, 384, 32, digest)


def test_notes_of_the_bridge_read_back() -> None:
    """Failures and notices come back; an unknown code is refused."""
    failure = ledger.Failure("decrypt_failed", 5)
    notice = ledger.Notice("key_denied", samples.IMAGE, samples.QUESTION_ARN, 6)
    assert ledger.parse_failure(ledger.encode_note(failure)) == failure
    assert ledger.parse_notice(ledger.encode_note(notice)) == notice
    with pytest.raises(LedgerError):
        ledger.parse_failure(ledger.encode_note(dataclasses.replace(failure, code="because")))


def test_what_is_committed_to_of_a_result_stands_in_its_line() -> None:
    """Tokens of a record without an answer stand in none: who holds the line alone could not prove it."""
    answered, unanswered = samples.RESULTS[0], samples.RESULTS[2]
    counted = dataclasses.replace(unanswered, prompt_tokens=9, completion_tokens=1)
    assert result_commitment(samples.SALT, counted) == result_commitment(samples.SALT, unanswered)
    more = dataclasses.replace(answered, completion_tokens=answered.completion_tokens + 1)
    assert result_commitment(samples.SALT, more) != result_commitment(samples.SALT, answered)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_the_merkle_root_is_that_of_rfc_6962(leaves: list[bytes]) -> None:
    """Appending one by one gives the root that the recursive definition gives."""
    tree = MerkleTree()
    for leaf in leaves:
        tree.append(leaf)
    assert tree.root() == naive_root(leaves)


def test_each_derivation_has_a_label_of_its_own() -> None:
    """One key and one binding never give two uses the same bytes."""
    binding = [1, "a", samples.JOB, 0, 0, 1]
    assert keys.seal_key(samples.KEY, list(binding)) != keys.commitment(samples.KEY, list(binding))
    assert keys.sampling_seed(samples.KEY, samples.JOB, 1) != keys.sampling_seed(samples.KEY, samples.JOB, 2)
    assert 0 <= keys.user_seed(-(2**63)) < 2**63
    with pytest.raises(ValueError, match="32 bytes"):
        keys.seal_key(b"short", None)


def test_a_wrapped_key_is_named_by_key_context_and_ciphertext_together() -> None:
    """Changing any of the three changes the name."""
    context = keys.encryption_context("question", "a", samples.JOB, samples.IMAGE)
    names = {
        keys.wrapped_digest(samples.QUESTION_ARN, context, b"w"),
        keys.wrapped_digest(samples.ANSWER_ARN, context, b"w"),
        keys.wrapped_digest(samples.QUESTION_ARN, context | {"sealbatch:tenant": "b"}, b"w"),
        keys.wrapped_digest(samples.QUESTION_ARN, context, b"v"),
    }
    assert len(names) == 4
