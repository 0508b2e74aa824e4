"""Every parser of wire/: any bytes give a value whose encoding is those bytes, or that parser's one error."""

import contextlib
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire_samples import (
    ANSWERS,
    MANIFEST,
    MESSAGES,
    PAGE,
    QUESTION_PAYLOAD,
    QUESTIONS,
    RECEIPT,
    RECEIPTED,
    RESULT_PAYLOAD,
    TICKET,
)

from wire import codec, envelope, ledger, manifest, messages, payload, receipt, ticket
from wire.errors import (
    CodecError,
    LedgerError,
    ManifestError,
    MessageError,
    ReceiptError,
    SealError,
    TicketError,
    WireError,
)

Parser = tuple[Callable[[bytes], Any], type[WireError]]


def parse_ticket(data: bytes) -> ticket.Ticket:
    """Tickets are text; bytes that are none are no ticket."""
    return ticket.Ticket.parse(data.decode("latin-1"))


PARSERS: dict[str, Parser] = {
    "codec": (lambda data: codec.unpack(data, max_size=1 << 20), CodecError),
    "message": (messages.decode, MessageError),
    "questions": (envelope.parse_questions, SealError),
    "answers": (envelope.parse_answers, SealError),
    "question payload": (payload.QuestionPayload.decode, MessageError),
    "answer payload": (payload.AnswerPayload.decode, MessageError),
    "receipt": (receipt.parse_receipt, ReceiptError),
    "manifest": (manifest.decode_manifest, ManifestError),
    "page": (manifest.decode_page, ManifestError),
    "chunk message": (lambda data: ledger.parse_chunk_message(data.decode("latin-1")), LedgerError),
    "failure": (ledger.parse_failure, LedgerError),
    "notice": (ledger.parse_notice, LedgerError),
    "answer name": (lambda data: ledger.parse_answer_name(data.decode("latin-1")), LedgerError),
    "ticket": (parse_ticket, TicketError),
}

SAMPLES: dict[str, list[bytes]] = {
    "codec": [QUESTION_PAYLOAD],
    "message": [messages.encode(message) for message in MESSAGES],
    "questions": [QUESTIONS],
    "answers": [ANSWERS, RECEIPTED],
    "receipt": [RECEIPT],
    "question payload": [QUESTION_PAYLOAD],
    "answer payload": [RESULT_PAYLOAD],
    "manifest": [MANIFEST],
    "page": [PAGE],
    "chunk message": [ledger.ChunkMessage("a", "a" * 16, 0, 0, 1, bytes(32), 5, b"hello").encode().encode()],
    "failure": [ledger.encode_note(ledger.Failure("decrypt_failed", 1))],
    "notice": [ledger.encode_note(ledger.Notice("key_denied", "0" * 96, "arn:aws:kms:x:123456789012:key/k", 1))],
    "answer name": [b"00000001.64.32", b"00000001.64.32~0123456789abcdef"],
    "ticket": [TICKET.encode()],
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def survives(name: str, data: bytes) -> None:
    """The parser gives a value or its own error, and nothing else."""
    parse, error = PARSERS[name]
    with contextlib.suppress(error):
        parse(data)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.binary(max_size=300))
def test_garbage_gives_the_one_error(name: str, data: bytes) -> None:
    """Random bytes never raise anything but the parser's own error."""
    survives(name, data)


@pytest.mark.parametrize("name", PARSERS)
@given(value=values)
def test_well_formed_msgpack_of_another_shape_gives_the_one_error(name: str, value: Any) -> None:
    """Bytes that decode to some value of the wrong shape are refused like any garbage."""
    try:
        data = codec.pack(value)
    except ValueError:
        return
    survives(name, data)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_a_changed_sample_parses_or_gives_the_one_error(name: str, data: st.DataObject) -> None:
    """A valid object with bytes flipped, cut out or put in never raises anything else."""
    sample = bytearray(data.draw(st.sampled_from(SAMPLES[name])))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(sample) - 1)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "drop"])):
            case "flip" if sample:
                sample[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del sample[at:]
            case "insert":
                sample[at:at] = data.draw(st.binary(min_size=1, max_size=9))
            case _:
                del sample[at : at + 1]
    survives(name, bytes(sample))


@pytest.mark.parametrize("name", PARSERS)
def test_every_cut_of_a_sample_is_refused(name: str) -> None:
    """No parser takes the beginning of an object for the object."""
    parse, error = PARSERS[name]
    for sample in SAMPLES[name]:
        parse(sample)
        ends = range(len(sample)) if len(sample) < 2000 else [*range(300), *range(len(sample) - 300, len(sample))]
        for end in ends:
            if name == "answer name" and ledger_prefix(sample[:end]):
                continue
            with pytest.raises(error):
                parse(sample[:end])


def ledger_prefix(data: bytes) -> bool:
    """A name's numbers may be cut to shorter numbers: such a name is another object's."""
    return data.count(b".") == 2 and data[-1:].isdigit() and b"~" not in data


@pytest.mark.parametrize("name", [name for name in PARSERS if name not in {"codec", "answer name"}])
def test_bytes_behind_an_object_are_refused(name: str) -> None:
    """No parser stops early and leaves bytes unread."""
    parse, error = PARSERS[name]
    for sample in SAMPLES[name]:
        with pytest.raises(error):
            parse(sample + b"\0")


@given(values)
@example({"b": 1, "a": [b"", 0.0, -1]})
def test_the_codec_has_one_encoding(value: Any) -> None:
    """What is unpacked packs to the same bytes again."""
    data = codec.pack(value)
    assert codec.pack(codec.unpack(data, max_size=len(data))) == data


@pytest.mark.parametrize(
    "data",
    [
        b"\xcd\x00\x01",  # 1 in three bytes
        b"\xd9\x01a",  # a short text with a long header
        b"\x82\xa1b\x01\xa1a\x02",  # keys out of order
        b"\x82\xa1a\x01\xa1a\x02",  # a key twice
        b"\x81\x01\x02",  # a key that is no text
        b"\xca\x00\x00\x00\x00",  # a 32-bit float
        b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",  # NaN
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
        msgpack.packb(msgpack.ExtType(5, b"x")),
        b"\xa1\xff",  # text that is not UTF-8
        b"\x91" * 20 + b"\xc0",  # nested too deeply
        b"\xdd\xff\xff\xff\xff",  # an array of 4 billion values, none of which are there
        b"\xc0\xc0",
    ],
)
def test_the_codec_refuses_second_spellings_and_foreign_types(data: bytes) -> None:
    """Each value has one encoding, and only our types exist."""
    with pytest.raises(CodecError):
        codec.unpack(data, max_size=100)


def test_the_codec_refuses_what_is_too_long_before_reading_it() -> None:
    """The size is checked first."""
    with pytest.raises(CodecError, match="11 bytes, at most 10"):
        codec.unpack(b"\xc1" * 11, max_size=10)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd" + (1_000_000).to_bytes(4, "big") + b"\x90" * 1_000_000,
        b"\x9f" * 7 + b"\xdc\xff\xff" + b"\xc0" * 65_535,
        b"\x93" * 8 + b"\x90" * 20_000,
        b"\xdf" + (300_000).to_bytes(4, "big") + b"".join(b"\xa3" + n.to_bytes(3, "big") + b"\xc0" for n in range(64)),
    ],
    ids=["flat", "nested", "wide", "map"],
)
def test_a_bomb_goes_off_before_it_is_built(bomb: bytes) -> None:
    """Found when fifteen megabytes of empty arrays took the enclave 1.2 GB: values are counted as they are read."""
    tracemalloc.start()
    try:
        with pytest.raises(MessageError):
            messages.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(bomb) + 1_000_000
    finally:
        tracemalloc.stop()


def test_values_are_counted_to_the_bound() -> None:
    """One more than allowed is too many, at every level together."""
    value: list[codec.Value] = [[1, 2], {"a": 3}, "x"]
    data = codec.pack(value)
    assert codec.unpack(data, max_size=100, max_values=6) == value
    with pytest.raises(CodecError):
        codec.unpack(data, max_size=100, max_values=5)
