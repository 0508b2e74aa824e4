"""Strict msgpack: one value, one encoding.

Only nil, bool, integers, finite 64-bit floats, text, bytes, arrays and maps with text keys exist; a dataclass is the
array of its fields in their order, and a member of an enumeration the text that it is. A decoder that accepted two
encodings of one value would let a relay change bytes that digests and signatures are made of, so anything but the
shortest encoding, and any map whose keys are not in ascending order, is refused.
"""

import dataclasses
import functools
import math
from typing import Any, Final, TypeAlias, TypeVar, Union

import msgpack

from wire.errors import CodecError

MAX_DEPTH = 8
"""Nesting of arrays and maps; the deepest message of ours has 5."""

MAX_VALUES: Final = 1 << 20
"""Values in one encoding, where its reader sets no lower bound: a byte may be a value, and takes fifty in memory."""

Value: TypeAlias = Union[bool, int, float, str, bytes, list["Value"], dict[str, "Value"], None]  # noqa: UP007 - recursive

_PLAIN: Final = frozenset({type(None), bool, int, str, bytes})

_ARRAYS: Final = (list, tuple)

_Container = TypeVar("_Container", list[Any], dict[str, Any])


def pack(value: object) -> bytes:
    """The one encoding of `value`.

    Raises:
        ValueError: our own misuse: a type, number or nesting that the format does not have.
    """
    encoded: bytes = msgpack.packb(_ordered(value, 0), use_bin_type=True)
    return encoded


def fields_of(value: Any) -> list[object]:
    """The fields of a dataclass in their order.

    Raises:
        ValueError: our own misuse: it is none.
    """
    kind: Any = type(value)  # mypy takes no type for hashable
    return [getattr(value, name) for name in _names(kind)]


def unpack(data: bytes, *, max_size: int, max_values: int = MAX_VALUES) -> Value:
    """The value that `data` encodes.

    Raises:
        CodecError: `data` is longer than `max_size` bytes, holds more than `max_values` values, or is not exactly what
            `pack` makes of some value.
    """
    if len(data) > max_size:
        raise CodecError(f"{len(data)} bytes, at most {max_size} are allowed")
    left = max_values

    def counted(found: _Container) -> _Container:
        nonlocal left
        left -= len(found)
        if left < 0:
            raise ValueError("too many values")
        return found

    try:
        # unpackb bounds every length by the bytes at hand, so nothing is allocated for a length that only claims to be;
        # what is there is counted as each array and map ends, so a bomb goes off before it is built.
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_array_len=max_values,
            max_map_len=max_values,
            list_hook=counted,
            object_hook=counted,
        )
        again = pack(value)
    except (ValueError, OverflowError, RecursionError, msgpack.UnpackException):
        # No cause is chained: msgpack's errors may quote the bytes.
        raise CodecError("not the strict msgpack encoding of an allowed value") from None
    if again != data:
        raise CodecError("not the one canonical encoding")
    return value  # type: ignore[no-any-return]


def _ordered(value: Any, depth: int) -> object:
    """`value` made of the types that the format has, with map keys in ascending order of their UTF-8 bytes."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    kind: Any = type(value)
    if kind in _PLAIN:  # first, because most values are
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ValueError("a number is not finite")
        return value
    if isinstance(value, _ARRAYS):
        return [_ordered(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _ordered(value[key], depth + 1) for key in sorted(value, key=_map_key)}
    if isinstance(value, str):
        return str(value)
    return [_ordered(getattr(value, name), depth + 1) for name in _names(kind)]


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    if not dataclasses.is_dataclass(kind):
        raise ValueError(f"type {kind.__name__} is not part of the format")
    return tuple(field.name for field in dataclasses.fields(kind))


def _map_key(key: object) -> bytes:
    if not isinstance(key, str):
        raise ValueError("a map key is not text")  # noqa: TRY004 - one error type for misuse
    return key.encode()
