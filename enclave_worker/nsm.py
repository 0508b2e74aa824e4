"""The Nitro Security Module, `/dev/nsm`: one ioctl that takes a CBOR request and fills a buffer with the reply.

Numbers and encodings are those of AWS's own driver library (aws-nitro-enclaves-nsm-api, `driver` and `api`).
"""

import ctypes
import errno
import fcntl
import io
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import cbor2

from enclave_worker.attestor import AttestorError
from wire.measurement import PCR_SIZE

DEVICE: Final = Path("/dev/nsm")
IOCTL: Final = 0xC020_0A00
"""_IOWR(0x0A, 0, 32): the argument is two `struct iovec`, request and response."""
MAX_REQUEST: Final = 0x1000
MAX_RESPONSE: Final = 0x3000
MAX_PUBLIC_KEY: Final = 1024
MAX_USER_DATA: Final = 512
MAX_NONCE: Final = 512
MAX_RANDOM: Final = 256
MAX_PCR: Final = 32
MAX_EXTENSION: Final = 512

ERRORS: Final = frozenset(
    {
        "InvalidArgument",
        "InvalidIndex",
        "InvalidResponse",
        "ReadOnlyIndex",
        "InvalidOperation",
        "BufferTooSmall",
        "InputTooLarge",
        "InternalError",
    }
)

_MESSAGE: Final = struct.Struct("=QQQQ")

T = TypeVar("T", bytes, bool)
Ioctl = Callable[[int, int, bytearray], object]
Request = str | Mapping[str, Mapping[str, bytes | int | None]]


class NsmError(AttestorError):
    """The device refused (`code` is one of its own words) or answered nonsense (`InvalidResponse`)."""

    def __init__(self, operation: str, code: str) -> None:
        super().__init__(f"NSM {operation}: {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Register:
    """One platform configuration register."""

    locked: bool
    data: bytes


class NsmDevice:
    """The open device: the attestor of an enclave in AWS. The driver serialises requests of several threads."""

    def __init__(self, path: Path = DEVICE, ioctl: Ioctl = fcntl.ioctl) -> None:
        """Open the device.

        Raises:
            NsmError: there is none, which means that this is no Nitro Enclave.
        """
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise NsmError("open", errno.errorcode.get(error.errno or 0, "unknown")) from None
        self._ioctl = ioctl

    def close(self) -> None:
        """Give the device back."""
        os.close(self._descriptor)

    def random(self) -> bytes:
        """Up to 256 random bytes of the hypervisor's generator."""
        fields = self._call("GetRandom", "GetRandom")
        data = fields.field("random", bytes)
        if not 0 < len(data) <= MAX_RANDOM:
            raise fields.invalid()
        return data

    def attest(self, *, public_key: bytes | None, user_data: bytes | None, nonce: bytes | None) -> bytes:
        """See `Attestor.attest`."""
        _limit("public_key", public_key, MAX_PUBLIC_KEY)
        _limit("user_data", user_data, MAX_USER_DATA)
        _limit("nonce", nonce, MAX_NONCE)
        request = {"Attestation": {"user_data": user_data, "nonce": nonce, "public_key": public_key}}
        return self._call("Attestation", request).field("document", bytes)

    def pcr(self, index: int) -> bytes:
        """See `Attestor.pcr`."""
        return self.describe_pcr(index).data

    def describe_pcr(self, index: int) -> Register:
        """The value of a register, and whether it is locked."""
        fields = self._call("DescribePCR", {"DescribePCR": {"index": _index(index)}})
        return Register(fields.field("lock", bool), fields.digest())

    def extend_pcr(self, index: int, data: bytes) -> bytes:
        """Set a register to SHA-384 of its value and `data`, and return that."""
        _limit("data", data, MAX_EXTENSION)
        return self._call("ExtendPCR", {"ExtendPCR": {"index": _index(index), "data": data}}).digest()

    def lock_pcr(self, index: int) -> None:
        """Make a register read-only until the enclave ends."""
        self._call("LockPCR", {"LockPCR": {"index": _index(index)}})

    def _call(self, operation: str, request: Request) -> "_Fields":
        reply = _decode(operation, self._exchange(operation, cbor2.dumps(request)))
        if reply == operation:
            return _Fields(operation, {})
        if not isinstance(reply, dict) or len(reply) != 1:
            raise NsmError(operation, "InvalidResponse")
        ((kind, body),) = reply.items()
        if kind == "Error":
            raise NsmError(operation, body if isinstance(body, str) and body in ERRORS else "InvalidResponse")
        if kind != operation or not isinstance(body, dict):
            raise NsmError(operation, "InvalidResponse")
        return _Fields(operation, body)

    def _exchange(self, operation: str, request: bytes) -> bytes:
        if len(request) > MAX_REQUEST:
            raise NsmError(operation, "InputTooLarge")
        # Both buffers must outlive the call: the driver is given their bare addresses.
        source = ctypes.create_string_buffer(request, len(request))
        target = ctypes.create_string_buffer(MAX_RESPONSE)
        message = bytearray(
            _MESSAGE.pack(ctypes.addressof(source), len(request), ctypes.addressof(target), MAX_RESPONSE)
        )
        try:
            self._ioctl(self._descriptor, IOCTL, message)
        except OSError as error:
            code = "InputTooLarge" if error.errno == errno.EMSGSIZE else "InternalError"
            raise NsmError(operation, code) from None
        size = _MESSAGE.unpack(message)[3]
        if size > MAX_RESPONSE:
            raise NsmError(operation, "InvalidResponse")
        return target.raw[:size]


class _Fields:
    """The body of a reply; every field is checked for its type as it is taken."""

    def __init__(self, operation: str, body: dict[object, object]) -> None:
        self._operation = operation
        self._body = body

    def field(self, name: str, kind: type[T]) -> T:
        value = self._body.get(name)
        if type(value) is not kind:
            raise self.invalid()
        return value

    def digest(self) -> bytes:
        data = self.field("data", bytes)
        if len(data) != PCR_SIZE:
            raise self.invalid()
        return data

    def invalid(self) -> NsmError:
        return NsmError(self._operation, "InvalidResponse")


def _decode(operation: str, reply: bytes) -> object:
    stream = io.BytesIO(reply)
    try:
        value: object = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORDecodeError, ValueError, RecursionError):
        raise NsmError(operation, "InvalidResponse") from None
    if stream.tell() != len(reply):
        raise NsmError(operation, "InvalidResponse")
    return value


def _limit(name: str, value: bytes | None, longest: int) -> None:
    if value is not None and len(value) > longest:
        raise ValueError(f"{name} has at most {longest} bytes, not {len(value)}")


def _index(index: int) -> int:
    if not 0 <= index < MAX_PCR:
        raise ValueError(f"a register's index is 0 to {MAX_PCR - 1}, not {index}")
    return index
