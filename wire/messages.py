"""What bridge and enclave say to each other: one message a frame, `[type, fields...]` in strict msgpack.

Flow control is a window: `Ready` states how many chunks and bytes of `Work` may be outstanding on its connection,
and every `Answer` or `Refusal` gives its share back.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from wire.codec import fields_of, pack
from wire.errors import MessageError
from wire.fields import Fields
from wire.framing import MAX_FRAME
from wire.names import IMAGE, KEY_ARN
from wire.report import Report, read_report

VERSION: Final = 1
MAX_SEALED: Final = 12 * 1024 * 1024
"""Largest sealed object in bytes; it leaves room in a frame for the fields around it."""
MAX_RECORD: Final = 2**40
"""Largest record number."""
MAX_CHUNK: Final = 2**32 - 1
"""Largest chunk number."""
MAX_CHUNK_RECORDS: Final = 4096
"""Most records of a chunk."""
MAX_WRAPPED: Final = 6144
"""Largest wrapped key in bytes: KMS's own limit of a CiphertextBlob."""
MAX_DOCUMENT: Final = 16 * 1024
"""Largest attestation document in bytes; the NSM's response buffer has 12 KiB."""
MAX_RECIPIENT: Final = 2048
"""Largest CiphertextForRecipient in bytes; a 32-byte key takes 493."""
MAX_CONTEXT: Final = 8
"""Pairs of an encryption context; ours has 5."""
MAX_VALUES: Final = 64
"""Values of a message; an Unwrap has at most 30."""


class RefusalCode(enum.StrEnum):
    """Why an enclave gives a chunk back. Never more than the code leaves the enclave."""

    MALFORMED = "malformed"
    """It is no sealed chunk, or not the one that was announced."""
    UNSEAL_FAILED = "unseal_failed"
    """It does not open under its key."""
    WRONG_IMAGE = "wrong_image"
    """It was sealed for another image."""
    KEY_DENIED = "key_denied"
    """KMS refuses the key to this image."""
    KEY_UNAVAILABLE = "key_unavailable"
    """KMS did not answer."""
    KEY_INVALID = "key_invalid"
    """The wrapped key will never open under the key that it names."""
    BUSY = "busy"
    """More was sent than the window has room for."""
    INTERNAL = "internal"
    """The engine failed; the work is given to an enclave again."""
    SHUTTING_DOWN = "shutting_down"
    """The enclave was told to stop; the work goes to the next one."""


class UnwrapCode(enum.StrEnum):
    """Why KMS's reply to an unwrap is missing, in the bridge's word."""

    DENIED = "denied"
    """The key's policy does not admit the caller, the image or the model, or the key is disabled or gone."""
    UNAVAILABLE = "unavailable"
    """KMS did not answer, or asked to be left alone."""
    INVALID = "invalid"
    """This wrapped key will never open under that key."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The enclave's first message: who it is and how much it takes at a time."""

    version: int
    image: str
    model: bytes
    window_chunks: int
    window_bytes: int


@dataclass(frozen=True, slots=True)
class Unwrap:
    """The enclave asks the courier to have KMS unwrap a key for the document's public key."""

    request: int
    key_arn: str
    context: tuple[tuple[str, str], ...]
    wrapped: bytes
    document: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """The engine stepped since the last one, and the chunk `ref` is still with it."""

    ref: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The sealed answer object of the work `ref`, as it is to be stored."""

    ref: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """The work `ref` is given back without an answer."""

    ref: int
    code: RefusalCode


@dataclass(frozen=True, slots=True)
class Work:
    """Answer the records `first` to `first + count - 1` of this sealed question object."""

    ref: int
    first: int
    count: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """KMS's CiphertextForRecipient for the unwrap `request`."""

    request: int
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class UnwrapRefused:
    """KMS gave no key for the unwrap `request`."""

    request: int
    code: UnwrapCode


Message: TypeAlias = Ready | Unwrap | Progress | Answer | Refusal | Work | Unwrapped | UnwrapRefused | Report


def encode(message: Message) -> bytes:
    """The body of the frame that carries `message`.

    Raises:
        ValueError: our own misuse: a field that `decode` would refuse.
    """
    fields = message.values() if isinstance(message, Report) else fields_of(message)
    body = pack([_TYPES.index(type(message)) + 1, *fields])
    try:
        decode(body)
    except MessageError as error:
        raise ValueError(str(error)) from None
    return body


def decode(body: bytes) -> Message:
    """The message in a frame's body.

    Raises:
        MessageError: it is not exactly one known message with fields within their limits.
    """
    with Fields.parse(body, max_size=MAX_FRAME, error=MessageError, what="message", max_values=MAX_VALUES) as fields:
        kind = _TYPES[fields.number("type", low=1, high=len(_TYPES)) - 1]
        return _READERS[kind](fields)


def _ready(fields: Fields) -> Ready:
    return Ready(
        version=fields.number("version", low=VERSION, high=VERSION),
        image=fields.shaped("image", IMAGE),
        model=fields.data("model", size=32),
        window_chunks=fields.number("window_chunks", low=1, high=4096),
        window_bytes=fields.number("window_bytes", low=MAX_SEALED, high=2**40),
    )


def _unwrap(fields: Fields) -> Unwrap:
    request = fields.number("request")
    key_arn = fields.shaped("key_arn", KEY_ARN)
    pairs: list[tuple[str, str]] = []
    for value in fields.array("context", longest=MAX_CONTEXT):
        with Fields(value, MessageError, "context") as pair:
            pairs.append((pair.text("name", longest=64), pair.text("value", longest=128)))
    if len({name for name, _ in pairs}) != len(pairs):
        raise MessageError("message: context names a key twice")
    wrapped = fields.data("wrapped", longest=MAX_WRAPPED)
    return Unwrap(request, key_arn, tuple(pairs), wrapped, fields.data("document", longest=MAX_DOCUMENT))


def _work(fields: Fields) -> Work:
    return Work(
        ref=fields.number("ref"),
        first=fields.number("first", high=MAX_RECORD),
        count=fields.number("count", low=1, high=MAX_RECORD),
        sealed=fields.data("sealed", longest=MAX_SEALED),
    )


_READERS: Final[dict[type[Message], Callable[[Fields], Message]]] = {
    Ready: _ready,
    Unwrap: _unwrap,
    Progress: lambda fields: Progress(fields.number("ref")),
    Answer: lambda fields: Answer(fields.number("ref"), fields.data("sealed", longest=MAX_SEALED)),
    Refusal: lambda fields: Refusal(fields.number("ref"), fields.one_of("code", RefusalCode)),
    Work: _work,
    Unwrapped: lambda fields: Unwrapped(fields.number("request"), fields.data("ciphertext", longest=MAX_RECIPIENT)),
    UnwrapRefused: lambda fields: UnwrapRefused(fields.number("request"), fields.one_of("code", UnwrapCode)),
    Report: read_report,
}
_TYPES: Final = tuple(_READERS)
"""A message begins with the place of its type in this order, counted from 1."""
