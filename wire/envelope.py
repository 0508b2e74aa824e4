"""Sealed objects: what lies in S3 and SQS, questions on the way in and answers on the way out.

```
"SEAL" | version u8 | direction u8 | header length u16 | header | nonce 12 | ciphertext length u32 | ciphertext and tag
       | receipt length u32 | receipt                                        all numbers big-endian
```
AES-256-GCM; the additional data is everything up to the nonce, so every header field is bound. The key is derived
for this one object (`wire.keys.seal_key`), the nonce is random: a chunk may be answered twice with other text. The
plaintext is `length u32 | payload | zeros` up to a power of two from 4 KiB, so that sizes say little. A receipt is
signed over the object before it and therefore stands behind it, under a seal of its own: it counts outcomes and tokens.
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wire import keys
from wire.codec import pack
from wire.errors import SealError
from wire.fields import Fields
from wire.header import AnswerHeader, Header, QuestionHeader, read_answer_header, read_question_header
from wire.messages import MAX_SEALED

MAGIC: Final = b"SEAL"
VERSION: Final = 1
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
MAX_HEADER: Final = 8192
MAX_FIELDS: Final = 16
RECEIPT_BUCKET: Final = 8192
"""Bytes that a receipt is padded to; one with a very long attestation document takes twice as many."""
MAX_RECEIPT: Final = 2 * RECEIPT_BUCKET + NONCE_SIZE + TAG_SIZE
MAX_PAYLOAD: Final = 8 * 1024 * 1024 - 4
"""Largest payload in bytes: with its length it fits the largest bucket."""
MIN_BUCKET: Final = 4096

_PREFIX: Final = struct.Struct(">4sBBH")
_LENGTH: Final = struct.Struct(">I")

_CLOSED: Final = "sealed object: does not open under this key"
"""One error and one text for every way to fail, so that nobody learns which check it was."""

_Header = TypeVar("_Header", QuestionHeader, AnswerHeader)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A parsed object: `digest` is the SHA-256 of all its bytes, `body_digest` that of those before the receipt."""

    digest: bytes
    body_digest: bytes
    associated: bytes
    nonce: bytes
    ciphertext: bytes
    receipt: bytes
    header: Header

    def open(self, key: bytes) -> bytes:
        """The payload.

        Raises:
            SealError: `key` is not this object's key, or anything in it was changed.
        """
        binding = self.header.binding()
        if not hmac.compare_digest(keys.commitment(key, binding), self.header.commitment):
            raise SealError(_CLOSED)
        cipher = AESGCM(keys.seal_key(key, binding))
        return _decrypted(cipher, self.nonce, self.ciphertext, self.associated, MIN_BUCKET)


@dataclass(frozen=True, slots=True)
class SealedQuestions(_Sealed):
    """A sealed chunk of questions, parsed and not yet trusted."""

    header: QuestionHeader


@dataclass(frozen=True, slots=True)
class SealedAnswers(_Sealed):
    """Sealed answers, parsed and not yet trusted."""

    header: AnswerHeader

    def open_receipt(self, key: bytes) -> bytes:
        """The receipt; empty if there is none.

        Raises:
            SealError: `key` is not this object's key, or anything was changed.
        """
        if not self.receipt:
            return b""
        if len(self.receipt) <= NONCE_SIZE + TAG_SIZE:
            raise SealError(_CLOSED)
        nonce, ciphertext = self.receipt[:NONCE_SIZE], self.receipt[NONCE_SIZE:]
        cipher = AESGCM(keys.receipt_key(key, self.header.binding()))
        return _decrypted(cipher, nonce, ciphertext, self.body_digest, RECEIPT_BUCKET)


def body_digest(sealed: bytes) -> bytes:
    """SHA-256 of sealed answers without a receipt up to where one goes: what the receipt is signed over."""
    return hashlib.sha256(memoryview(sealed)[: -_LENGTH.size]).digest()


def attach_receipt(sealed: bytes, key: bytes, receipt: bytes) -> bytes:
    """Sealed answers with the receipt that was signed over them, sealed under the same answer key.

    Raises:
        ValueError: our own misuse: these are no answers, they have a receipt, or this one is too long.
    """
    return _attach(sealed, key, receipt, os.urandom(NONCE_SIZE))


def bucket(size: int, smallest: int = MIN_BUCKET) -> int:
    """Bytes that a plaintext of `size` bytes is padded to: the next power of two, at least `smallest`."""
    return max(smallest, 1 << (size - 1).bit_length())


def seal(header: Header, key: bytes, payload: bytes) -> bytes:
    """Seal a chunk of questions under its question key, or answers under the answer key that came inside (32 bytes).

    Raises:
        ValueError: our own misuse: a field that `parse_questions` or `parse_answers` would refuse.
    """
    proof = keys.commitment(key, header.binding())
    return _seal(replace(header, commitment=proof), key, payload, os.urandom(NONCE_SIZE))


def parse_questions(data: bytes) -> SealedQuestions:
    """Take a sealed chunk of questions apart.

    Raises:
        SealError: the bytes are not exactly one such object within the limits.
    """
    parts, header = _parse(data, QuestionHeader.direction, read_question_header)
    if parts[-1]:
        raise SealError("sealed object: questions carry no receipt")
    return SealedQuestions(*parts, header)


def parse_answers(data: bytes) -> SealedAnswers:
    """Take sealed answers apart.

    Raises:
        SealError: the bytes are not exactly one such object within the limits.
    """
    parts, header = _parse(data, AnswerHeader.direction, read_answer_header)
    return SealedAnswers(*parts, header)


def _seal(header: Header, key: bytes, payload: bytes, nonce: bytes) -> bytes:
    """The nonce is a parameter for the test vectors' sake alone."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload has at most {MAX_PAYLOAD} bytes, not {len(payload)}")
    encoded = pack(header)
    associated = _PREFIX.pack(MAGIC, VERSION, header.direction, len(encoded)) + encoded
    cipher = AESGCM(keys.seal_key(key, header.binding()))
    ciphertext = cipher.encrypt(nonce, _padded(payload, MIN_BUCKET), associated)
    sealed = associated + nonce + _LENGTH.pack(len(ciphertext)) + ciphertext + _LENGTH.pack(0)
    try:
        _ = parse_questions(sealed) if isinstance(header, QuestionHeader) else parse_answers(sealed)
    except SealError as error:
        raise ValueError(str(error)) from None
    return sealed


def _attach(sealed: bytes, key: bytes, receipt: bytes, nonce: bytes) -> bytes:
    """The nonce is a parameter for the test vectors' sake alone."""
    parsed = parse_answers(sealed)
    if parsed.receipt or not 0 < len(receipt) <= 2 * RECEIPT_BUCKET - _LENGTH.size:
        raise ValueError("the answers have a receipt already, or this one is empty or too long")
    cipher = AESGCM(keys.receipt_key(key, parsed.header.binding()))
    block = nonce + cipher.encrypt(nonce, _padded(receipt, RECEIPT_BUCKET), parsed.body_digest)
    return sealed[: -_LENGTH.size] + _LENGTH.pack(len(block)) + block


def _padded(payload: bytes, smallest: int) -> bytes:
    return (_LENGTH.pack(len(payload)) + payload).ljust(bucket(len(payload) + _LENGTH.size, smallest), b"\0")


def _parse(
    data: bytes, direction: int, read_header: Callable[[Fields], _Header]
) -> tuple[tuple[bytes, bytes, bytes, bytes, bytes, bytes], _Header]:
    """Digest, body digest, associated data, nonce, ciphertext and receipt; and the header."""
    if len(data) > MAX_SEALED:
        raise SealError(f"sealed object: {len(data)} bytes, at most {MAX_SEALED} are allowed")
    if len(data) < _PREFIX.size:
        raise SealError("sealed object: cut off")
    magic, version, found, header_size = _PREFIX.unpack_from(data)
    if magic != MAGIC or version != VERSION or found != direction or header_size > MAX_HEADER:
        raise SealError("sealed object: not of this format, version or direction")
    end = _PREFIX.size + header_size
    nonce = data[end : end + NONCE_SIZE]
    ciphertext, body_end = _block(data, end + NONCE_SIZE, MAX_SEALED)
    receipt, position = _block(data, body_end, MAX_RECEIPT)
    if position != len(data) or len(ciphertext) < MIN_BUCKET + TAG_SIZE:
        raise SealError("sealed object: lengths do not add up")
    encoded = data[_PREFIX.size : end]
    with Fields.parse(
        encoded, max_size=MAX_HEADER, error=SealError, what="sealed header", max_values=MAX_FIELDS
    ) as fields:
        header = read_header(fields)
    digest, body_digest = hashlib.sha256(data).digest(), hashlib.sha256(memoryview(data)[:body_end]).digest()
    return (digest, body_digest, data[:end], nonce, ciphertext, receipt), header


def _block(data: bytes, position: int, longest: int) -> tuple[bytes, int]:
    """The bytes behind a u32 length at `position`, and where they end."""
    start = position + _LENGTH.size
    if len(data) < start:
        raise SealError("sealed object: cut off")
    (size,) = _LENGTH.unpack_from(data, position)
    if size > longest or start + size > len(data):
        raise SealError("sealed object: lengths do not add up")
    return data[start : start + size], start + size


def _decrypted(cipher: AESGCM, nonce: bytes, ciphertext: bytes, associated: bytes, smallest: int) -> bytes:
    try:
        plaintext = cipher.decrypt(nonce, ciphertext, associated)
    except InvalidTag:
        raise SealError(_CLOSED) from None
    size = int.from_bytes(plaintext[: _LENGTH.size], "big")
    end = _LENGTH.size + size
    if len(plaintext) != bucket(end, smallest) or any(plaintext[end:]):
        raise SealError(_CLOSED)
    return plaintext[_LENGTH.size : end]
