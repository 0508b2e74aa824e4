"""A file of questions, sealed for the time that it waits in a bucket, and read again from any place in it.

```
"SLFL" | version u8 | header length u16 | header | segments                 numbers are big-endian
```
The header is the strict msgpack of `[tenant, schedule, key ARN, wrapped key, commitment]`. Each file has a data key of
its own. The bytes are sealed in segments of 64 KiB under AES-256-GCM, the last one shorter or empty; the additional
data is everything before them, and the nonce is the segment's number (11 bytes) and whether it is the last (1 byte), so
that segments can be neither exchanged nor dropped.
"""

import hmac
import io
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aws_errors.mapped import mapped
from aws_errors.service_error import ServiceError, ServiceKind
from producer.clients import KmsClient
from producer.data_key import generate_data_key
from producer.errors import SealedFileError
from wire import keys
from wire.codec import pack
from wire.errors import MessageError
from wire.fields import Fields
from wire.messages import MAX_WRAPPED
from wire.names import KEY_ARN, TENANT

MAGIC: Final = b"SLFL"
VERSION: Final = 1
SEGMENT: Final = 65_536
TAG: Final = 16
MAX_HEADER: Final = 8192
MAX_SCHEDULE: Final = 48
PREFIX: Final = struct.Struct(">4sBH")
_DAMAGED: Final = "it was changed or cut, or its key is another one"


class Writer(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take the next."""
        ...


class Unwrapper(Protocol):
    """A KMS client as far as opening needs it."""

    def decrypt(self, **request: Any) -> Mapping[str, Any]:
        """KMS Decrypt."""
        ...


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a file is sealed for: only under this KMS key, for this tenant and schedule, is it opened."""

    key_arn: str
    tenant: str
    schedule: str

    def context(self) -> dict[str, str]:
        """The KMS encryption context of the file's key."""
        return {
            "sealbatch:format": keys.CONTEXT_FORMAT,
            "sealbatch:purpose": "inbox",
            "sealbatch:schedule": self.schedule,
            "sealbatch:tenant": self.tenant,
        }


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What a sealed file says in the clear; `size` is the length of everything before the segments."""

    owner: Owner
    wrapped: bytes
    commitment: bytes
    size: int

    def plain_size(self, sealed_size: int) -> int:
        """How many bytes are in a sealed file of `sealed_size`.

        Raises:
            SealedFileError: no file has that size.
        """
        rest = sealed_size - self.size
        segments = -(-rest // (SEGMENT + TAG))
        if segments < 1 or rest < (segments - 1) * (SEGMENT + TAG) + TAG:
            raise SealedFileError(_DAMAGED)
        return rest - segments * TAG


def seal_file(source: BinaryIO, out: Writer, kms: KmsClient, owner: Owner) -> int:
    """Seal all bytes of `source` under a key of their own; how many they were.

    Raises:
        ServiceError: KMS gives no key.
        OSError: reading or writing failed.
    """
    key, wrapped = generate_data_key(kms, owner.key_arn, owner.context())
    binding = _binding(owner, wrapped)
    header = pack([owner.tenant, owner.schedule, owner.key_arn, wrapped, keys.commitment(key, binding)])
    before = PREFIX.pack(MAGIC, VERSION, len(header)) + header
    cipher = AESGCM(keys.seal_key(key, binding))
    out.write(before)
    number = total = 0
    segment = _read(source)
    while True:
        # Whether a segment is the last is known when there is none behind it.
        following = _read(source) if len(segment) == SEGMENT else b""
        out.write(cipher.encrypt(_nonce(number, last=not following), segment, before))
        number, total = number + 1, total + len(segment)
        if not following:
            return total
        segment = following


def read_header(data: bytes) -> FileHeader:
    """The header of the sealed file that begins with `data`, of which `PREFIX.size + MAX_HEADER` bytes are enough.

    Raises:
        SealedFileError: it is not the beginning of one.
    """
    if len(data) < PREFIX.size:
        raise SealedFileError("it is not a sealed file")
    magic, version, length = PREFIX.unpack_from(data)
    if magic != MAGIC or length > MAX_HEADER or len(data) < PREFIX.size + length:
        raise SealedFileError("it is not a sealed file")
    if version != VERSION:
        raise SealedFileError(f"it is of version {version}, and only version {VERSION} is known here")
    body = data[PREFIX.size : PREFIX.size + length]
    try:
        with Fields.parse(body, max_size=MAX_HEADER, max_values=8, error=MessageError, what="sealed file") as fields:
            tenant = fields.shaped("tenant", TENANT)
            schedule = fields.text("schedule", longest=MAX_SCHEDULE)
            key_arn = fields.shaped("key_arn", KEY_ARN)
            wrapped = fields.data("wrapped", longest=MAX_WRAPPED)
            commitment = fields.data("commitment", size=keys.KEY_SIZE)
    except MessageError:
        raise SealedFileError("its header is malformed") from None
    return FileHeader(Owner(key_arn, tenant, schedule), wrapped, commitment, PREFIX.size + length)


def open_file(file: BinaryIO, sealed_size: int, kms: Unwrapper, owner: Owner) -> io.BufferedReader:
    """The bytes of the sealed `file`, which may be read from any place; closing them closes the file.

    Reading raises SealedFileError where the file was changed or cut.

    Raises:
        SealedFileError: it is no sealed file, or not one for `owner`.
        ServiceError: KMS does not open its key.
        OSError: reading failed.
    """
    before = file.read(PREFIX.size + MAX_HEADER)
    header = read_header(before)
    if header.owner != owner:
        raise SealedFileError("it was sealed under another key, or for another tenant or schedule")
    with mapped("KMS", "Decrypt", owner.key_arn):
        reply = kms.decrypt(KeyId=owner.key_arn, CiphertextBlob=header.wrapped, EncryptionContext=owner.context())
    key, binding = reply.get("Plaintext"), _binding(owner, header.wrapped)
    if reply.get("KeyId") != owner.key_arn or not isinstance(key, bytes) or len(key) != keys.KEY_SIZE:
        raise ServiceError(ServiceKind.INVALID, "KMS", "Decrypt", owner.key_arn)
    if not hmac.compare_digest(keys.commitment(key, binding), header.commitment):
        raise SealedFileError(_DAMAGED)
    cipher = AESGCM(keys.seal_key(key, binding))
    return io.BufferedReader(_Segments(file, header, sealed_size, cipher, before[: header.size]), SEGMENT)


class _Segments(io.RawIOBase):
    """Opens one segment at a time."""

    def __init__(self, file: BinaryIO, header: FileHeader, sealed_size: int, cipher: AESGCM, before: bytes) -> None:
        self._file = file
        self._start = header.size
        self._size = header.plain_size(sealed_size)
        self._cipher = cipher
        self._before = before
        self._last = -(-(sealed_size - header.size) // (SEGMENT + TAG)) - 1
        self._position = 0
        self._held: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go there."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Where we are."""
        return self._position

    def readinto(self, target: Any, /) -> int:
        """Bytes of one segment, from where we are; none at the end, which is proven by the last segment."""
        number = min(self._position // SEGMENT, self._last)
        data = self._segment(number)[self._position - number * SEGMENT :][: len(target)]
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file too."""
        self._held = (-1, b"")
        self._file.close()
        super().close()

    def _segment(self, number: int) -> bytes:
        if self._held[0] != number:
            self._file.seek(self._start + number * (SEGMENT + TAG))
            sealed = self._file.read(SEGMENT + TAG)
            try:
                data = self._cipher.decrypt(_nonce(number, last=number == self._last), sealed, self._before)
            except InvalidTag:
                raise SealedFileError(_DAMAGED) from None
            self._held = number, data
        return self._held[1]


def _binding(owner: Owner, wrapped: bytes) -> list[Any]:
    digest = keys.wrapped_digest(owner.key_arn, owner.context(), wrapped)
    return ["file", digest]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _read(source: BinaryIO) -> bytes:
    """A whole segment, or what is left."""
    parts, left = [], SEGMENT
    while left and (data := source.read(left)):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)
