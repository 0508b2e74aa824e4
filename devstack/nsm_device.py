"""What stands behind `/dev/nsm` in a virtual machine: the device's CBOR, answered by the software NSM."""

import io
from collections.abc import Mapping
from typing import Any, Final

import cbor2

from devstack.nsm import SoftwareNsm
from enclave_worker.nsm import MAX_REQUEST, MAX_RESPONSE, NsmError

_VALUES: Final = frozenset({"user_data", "nonce", "public_key"})


def respond(nsm: SoftwareNsm, request: bytes) -> bytes:
    """The device's reply to a request; whatever is wrong with it is one of the device's own errors."""
    try:
        reply = cbor2.dumps(_answer(nsm, request))
    except NsmError as error:
        return _error(error.code)
    return reply if len(reply) <= MAX_RESPONSE else _error("BufferTooSmall")


def _error(code: str) -> bytes:
    reply: bytes = cbor2.dumps({"Error": code})
    return reply


def _answer(nsm: SoftwareNsm, request: bytes) -> object:
    if len(request) > MAX_REQUEST:
        raise NsmError("request", "InputTooLarge")
    operation, body = _parse(request)
    match operation, body:
        case "GetRandom", None:
            return {operation: {"random": nsm.random()}}
        case "Attestation", {**values} if values.keys() <= _VALUES:
            found = {name: _bytes_or_nothing(values.get(name)) for name in _VALUES}
            return {operation: {"document": nsm.attest(**found)}}
        case "DescribePCR", {"index": int(index)}:
            register = nsm.describe_pcr(index)
            return {operation: {"lock": register.locked, "data": register.data}}
        case "ExtendPCR", {"index": int(index), "data": bytes(data)}:
            return {operation: {"data": nsm.extend_pcr(index, data)}}
        case "LockPCR", {"index": int(index)}:
            nsm.lock_pcr(index)
            return operation
        case _:
            raise NsmError("request", "InvalidOperation")


def _parse(request: bytes) -> tuple[str, Any]:
    """Name and body of a request: a bare text, or a map of one entry."""
    stream = io.BytesIO(request)
    try:
        value = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORDecodeError, ValueError, RecursionError):
        raise NsmError("request", "InvalidArgument") from None
    if isinstance(value, str):
        return value, None
    if isinstance(value, Mapping) and len(value) == 1 and stream.tell() == len(request):
        ((name, body),) = value.items()
        if isinstance(name, str):
            return name, body
    raise NsmError("request", "InvalidArgument")


def _bytes_or_nothing(value: object) -> bytes | None:
    if value is not None and not isinstance(value, bytes):
        raise NsmError("Attestation", "InvalidArgument")
    return value
