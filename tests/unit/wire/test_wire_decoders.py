"""Every decoder of arrays against any one field that is off: too many, or of a type that is nearly right."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
import wire_samples as samples

from enclave_worker import engine_wire
from enclave_worker.engine import Completion, Prompt, Room, SamplingParams
from producer import sealed_file
from producer.errors import SealedFileError
from wire import codec, envelope, manifest, messages, payload
from wire.errors import WireError

Decoder = tuple[Callable[[bytes], Any], bytes, Callable[[bytes], bytes]]


def whole(body: bytes) -> bytes:
    """The encoded array is all there is."""
    return body


def in_seal(sealed: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """The header of a sealed object, and the object with another one."""
    end = 8 + int.from_bytes(sealed[6:8], "big")
    return sealed[8:end], lambda body: sealed[:6] + struct.pack(">H", len(body)) + body + sealed[end:]


def in_manifest(body: bytes) -> bytes:
    """A manifest of this body; its HMAC is not looked at."""
    return struct.pack(">4sBI", manifest.MAGIC, manifest.VERSION, len(body)) + body + bytes(manifest.MAC_SIZE)


def in_file(body: bytes) -> bytes:
    """The beginning of a sealed file."""
    return sealed_file.PREFIX.pack(sealed_file.MAGIC, sealed_file.VERSION, len(body)) + body


RETRY = manifest.Parameters("night", 5, 6, manifest.Retry(samples.JOB, bytes(16), ((0, 1), (4, 2))))
JOB = manifest.Manifest(samples.TENANT, samples.JOB, 1, 3, 1, 1, samples.MANIFEST_VALUE.keysets[:1], bytes(32), RETRY)
PROMPT = Prompt(1, [1, 2], SamplingParams(9, 0.5, 1.0, 1, ("x",)), scope=bytes(32))
DECODERS: dict[str, Decoder] = {
    **{
        f"message {type(message).__name__}": (messages.decode, messages.encode(message), whole)
        for message in samples.MESSAGES
    },
    "questions": (payload.QuestionPayload.decode, samples.QUESTION_PAYLOAD, whole),
    "answers": (payload.AnswerPayload.decode, samples.RESULT_PAYLOAD, whole),
    "question header": (envelope.parse_questions, *in_seal(samples.QUESTIONS)),
    "answer header": (envelope.parse_answers, *in_seal(samples.ANSWERS)),
    "manifest": (manifest.decode_manifest, codec.pack(JOB), in_manifest),
    "page": (manifest.decode_page, samples.PAGE, whole),
    "sealed file": (
        sealed_file.read_header,
        codec.pack([samples.TENANT, "night", samples.QUESTION_ARN, bytes(9), bytes(32)]),
        in_file,
    ),
    "greeting": (
        engine_wire.decode_greeting,
        engine_wire.encode_greeting(engine_wire.Profile("m", bytes(32), 2048, Room(4, 4096, 16))),
        whole,
    ),
    "step": (engine_wire.decode_step, engine_wire.encode_step(engine_wire.Step([PROMPT], (3,))), whole),
    "reply": (
        engine_wire.decode_reply,
        engine_wire.encode_reply(engine_wire.Stepped((Completion(1, "Yes.", "stop", 2),), Room(3, 2048, 16))),
        whole,
    ),
}


def one_off(value: Any) -> Iterator[Any]:
    """The value with one field too many in any of its arrays, or any one field of another type."""
    if not isinstance(value, list):
        yield from of_other_types(value)
        return
    yield [*value, None]
    yield {str(place): item for place, item in enumerate(value)}
    for place, item in enumerate(value):
        for other in one_off(item):
            yield [*value[:place], other, *value[place + 1 :]]


def of_other_types(value: Any) -> Iterator[Any]:
    """What a careless check takes for this value."""
    if isinstance(value, str):
        yield from (value.encode(), [value])
    elif isinstance(value, bytes):
        yield from (value.decode("latin-1"), list(value[:8]))
    elif value is not None:
        # Python's truth values are whole numbers, and those equal real ones.
        yield from (kind(value) for kind in (bool, int, float) if type(value) is not kind and kind(value) == value)
        yield str(value)


@pytest.mark.parametrize("name", DECODERS)
def test_one_field_that_is_off_is_refused(name: str) -> None:
    """Wherever it is: what a reader passes over, nobody has agreed to."""
    decode, body, around = DECODERS[name]
    decode(around(body))
    taken = []
    for value in one_off(msgpack.unpackb(body)):
        try:
            decode(around(msgpack.packb(value)))
        except (WireError, SealedFileError):
            continue
        taken.append(value)
    assert taken == []
