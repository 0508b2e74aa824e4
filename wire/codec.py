"""Strict msgpack: one value, one encoding.

Only nil, bool, integers, finite 64-bit floats, text, bytes, arrays and maps with text keys exist. A decoder that
accepted two encodings of one value would let a relay change bytes that digests and signatures are made of, so
anything but the shortest encoding, and any map whose keys are not in ascending order, is refused.
"""

import math
from typing import TypeAlias, Union

import msgpack

from wire.errors import CodecError

MAX_DEPTH = 8
"""Nesting of arrays and maps; the deepest message of ours has 5."""

Value: TypeAlias = Union[bool, int, float, str, bytes, list["Value"], dict[str, "Value"], None]  # noqa: UP007 - recursive


def pack(value: Value) -> bytes:
    """The one encoding of `value`.

    Raises:
        ValueError: our own misuse: a type, number or nesting that the format does not have.
    """
    encoded: bytes = msgpack.packb(_ordered(value, 0), use_bin_type=True)
    return encoded


def unpack(data: bytes, *, max_size: int) -> Value:
    """The value that `data` encodes.

    Raises:
        CodecError: `data` is longer than `max_size` bytes or is not exactly what `pack` makes of some value.
    """
    if len(data) > max_size:
        raise CodecError(f"{len(data)} bytes, at most {max_size} are allowed")
    try:
        # unpackb bounds every length by the bytes at hand, so nothing is allocated for a length that only claims to be.
        value = msgpack.unpackb(data, raw=False, strict_map_key=True)
        again = pack(value)
    except (ValueError, OverflowError, RecursionError, msgpack.UnpackException):
        # No cause is chained: msgpack's errors may quote the bytes.
        raise CodecError("not the strict msgpack encoding of an allowed value") from None
    if again != data:
        raise CodecError("not the one canonical encoding")
    return value  # type: ignore[no-any-return]


def _ordered(value: Value, depth: int) -> Value:
    """`value` with map keys in ascending order of their UTF-8 bytes, checked for what the format allows."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, list | tuple):
        return [_ordered(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _ordered(value[key], depth + 1) for key in sorted(value, key=_map_key)}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    raise ValueError(f"type {type(value).__name__} is not part of the format")


def _map_key(key: object) -> bytes:
    if not isinstance(key, str):
        raise ValueError("a map key is not text")  # noqa: TRY004 - one error type for misuse
    return key.encode()
