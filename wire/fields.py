"""Takes a decoded msgpack array apart, field by field, with a check for each."""

from collections.abc import Callable
from typing import Final

from wire.codec import MAX_VALUES, Value, unpack
from wire.errors import CodecError, WireError

MAX_COUNT: Final = 2**53
"""Largest count, number or time. Within what every language's integers, doubles included, hold exactly."""


class Fields:
    """A cursor over one array; every method takes the next field or raises `error` naming it."""

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
        if self._next < len(self._values) and self._values[self._next] is None:
            self._next += 1
            return None
        return self.number(name, low=low, high=high)

    def real(self, name: str, *, low: float, high: float) -> float:
        """A floating-point number from `low` to `high`."""
        value = self.take(name)
        if type(value) is not float or not low <= value <= high:
            raise self._bad(name)
        return value

    def text(self, name: str, *, longest: int, check: Callable[[str], object] | None = None) -> str:
        """Text of at most `longest` characters that `check`, if given, finds true."""
        value = self.take(name)
        if not isinstance(value, str) or len(value) > longest or (check is not None and not check(value)):
            raise self._bad(name)
        return value

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

    def end(self) -> None:
        """No field may be left."""
        if self._next != len(self._values):
            raise self._error(f"{self._what} has fields too many")

    def _bad(self, name: str) -> WireError:
        return self._error(f"{self._what}: {name} has a wrong type, size or value")
