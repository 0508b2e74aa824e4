"""Takes a decoded msgpack array apart, field by field, with a check for each."""

import re
from collections.abc import Iterable
from typing import Final, Self, TypeVar

from wire.codec import MAX_VALUES, Value, unpack
from wire.errors import CodecError, WireError

MAX_COUNT: Final = 2**53
"""Largest count, number or time. Within what every language's integers, doubles included, hold exactly."""

Choice = TypeVar("Choice", bound=str)


class Fields:
    """A cursor over one array; every method takes the next field or raises `error` naming it.

    ```
    with Fields(value, error, "page entry") as fields:   # at its end, no field may be left
        return ChunkEntry(fields.number("chunk"), ...)
    ```
    """

    def __init__(self, value: Value, error: type[WireError], what: str) -> None:
        if not isinstance(value, list):
            raise error(f"{what} is not an array")
        self._values = value
        self._error = error
        self._what = what
        self._next = 0

    @classmethod
    def parse(
        cls, data: bytes, *, max_size: int, error: type[WireError], what: str, max_values: int = MAX_VALUES
    ) -> "Fields":
        """The fields of an encoded array."""
        try:
            return cls(unpack(data, max_size=max_size, max_values=max_values), error, what)
        except CodecError as reason:
            raise error(f"{what}: {reason}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._next != len(self._values):
            raise self._error(f"{self._what} has fields too many")

    def take(self, name: str) -> Value:
        """The next field, whatever it is."""
        if self._next >= len(self._values):
            raise self._error(f"{self._what} ends before {name}")
        self._next += 1
        return self._values[self._next - 1]

    def number(self, name: str, *, low: int = 0, high: int = MAX_COUNT) -> int:
        """A whole number from `low` to `high`."""
        value = self.take(name)
        if type(value) is not int or not low <= value <= high:
            raise self._bad(name)
        return value

    def optional_number(self, name: str, *, low: int = 0, high: int = MAX_COUNT) -> int | None:
        """A whole number from `low` to `high`, or None for nil."""
        return None if self.nil() else self.number(name, low=low, high=high)

    def nil(self) -> bool:
        """Whether the next field is nil; only then is it taken."""
        if self._next == len(self._values) or self._values[self._next] is not None:
            return False
        self._next += 1
        return True

    def real(self, name: str, *, low: float, high: float) -> float:
        """A floating-point number from `low` to `high`."""
        value = self.take(name)
        if type(value) is not float or not low <= value <= high:
            raise self._bad(name)
        return value

    def text(self, name: str, *, longest: int) -> str:
        """Text of at most `longest` characters."""
        value = self.take(name)
        if not isinstance(value, str) or len(value) > longest:
            raise self._bad(name)
        return value

    def shaped(self, name: str, shape: re.Pattern[str]) -> str:
        """Text that is of this shape as a whole."""
        value = self.take(name)
        if not isinstance(value, str) or shape.fullmatch(value) is None:
            raise self._bad(name)
        return value

    def one_of(self, name: str, choices: Iterable[Choice]) -> Choice:
        """One of these texts."""
        value = self.take(name)
        for choice in choices:
            if value == choice:
                return choice
        raise self._bad(name)

    def data(self, name: str, *, size: int | None = None, longest: int = 0) -> bytes:
        """Bytes of exactly `size`, or of at most `longest`."""
        value = self.take(name)
        if not isinstance(value, bytes) or (len(value) != size if size is not None else len(value) > longest):
            raise self._bad(name)
        return value

    def array(self, name: str, *, longest: int) -> list[Value]:
        """An array of at most `longest` values."""
        value = self.take(name)
        if not isinstance(value, list) or len(value) > longest:
            raise self._bad(name)
        return value

    def _bad(self, name: str) -> WireError:
        return self._error(f"{self._what}: {name} has a wrong type, size or value")
