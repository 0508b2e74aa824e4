"""How a model comes into an enclave that booted without one: the host offers a manifest, the enclave asks for bytes.

Frames of one connection (`wire.stream`), each one byte of kind and a body:

| from | kind | body |
|---|---|---|
| host | `M` | the model's manifest.json, byte for byte |
| enclave | `W` | msgpack of [file, offset, size]: what it wants next |
| host | `D` | exactly that many bytes |
| enclave | `E` | nothing: every file is there and was verified |
| enclave | `R` | why it refuses, in UTF-8; the connection ends |

After a lost connection the host begins again with the same manifest, and the enclave goes on asking where it was.
"""

from dataclasses import dataclass
from typing import Final

from wire.codec import pack, unpack
from wire.errors import CodecError, MessageError

PORT: Final = 5006
"""Where an enclave waits for its model, over vsock."""
CHUNK: Final = 1024 * 1024
"""Bytes that are asked for at once; the stream writes them in 16 KiB."""
MAX_NAME: Final = 128
MAX_REASON: Final = 400
MANIFEST: Final = b"M"
DATA: Final = b"D"
DONE: Final = b"E"
_WANT: Final = b"W"
_REFUSED: Final = b"R"


@dataclass(frozen=True, slots=True)
class Want:
    """The enclave asks for `size` bytes of a file, from `offset` on."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Done:
    """The enclave has its model."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The enclave refuses, and says why."""

    reason: str


Reply = Want | Done | Refused


def encode_reply(reply: Reply) -> bytes:
    """What the enclave says."""
    match reply:
        case Want():
            return _WANT + pack([reply.name, reply.offset, reply.size])
        case Done():
            return DONE
        case Refused():
            return _REFUSED + reply.reason[:MAX_REASON].encode()


def decode_reply(body: bytes) -> Reply:
    """What the enclave said.

    Raises:
        MessageError: nothing that an enclave says.
    """
    kind, rest = body[:1], body[1:]
    if body == DONE:
        return Done()
    if kind == _REFUSED and len(rest) <= 4 * MAX_REASON:
        return Refused(rest.decode(errors="replace"))
    try:
        value = unpack(rest, max_size=1024, max_values=8) if kind == _WANT else None
    except CodecError:
        value = None
    match value:
        case [str(name), int(offset), int(size)] if len(name) <= MAX_NAME and offset >= 0 and 0 < size <= CHUNK:
            return Want(name, offset, size)
        case _:
            raise MessageError("not what an enclave says while it takes a model")
