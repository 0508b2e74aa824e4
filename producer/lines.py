"""Cuts bytes into lines without ever holding more than one, however long it claims to be."""

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from producer.problem import BadLineError
from wire.payload import ErrorCode

MAX_LINE: Final = 1024 * 1024
"""Bytes of one line of input with its end. The largest question has an eighth of it."""

_UTF8_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


class LineSource(Protocol):
    """A file of bytes as far as it is read here."""

    def readline(self, limit: int, /) -> bytes:
        """The next line, or the first `limit` bytes of it; nothing at the end."""
        ...


class Line(NamedTuple):
    """One line with its end; a line beyond `MAX_LINE` has `whole` False and no data.

    `quotes` is the number of its double quotes, for a line that is not whole; CSV goes by it.
    """

    number: int
    data: bytes
    whole: bool = True
    quotes: int = 0


def read_lines(source: LineSource, first: int = 1) -> Iterator[Line]:
    """The lines of `source`, numbered from `first`, a UTF-8 byte order mark removed from line 1.

    Raises:
        OSError: reading failed.
    """
    number = first - 1
    readline = source.readline
    while data := readline(MAX_LINE):
        number += 1
        if number == 1:
            data = data.removeprefix(_UTF8_MARK)
        if len(data) >= MAX_LINE and not data.endswith(b"\n"):
            yield Line(number, b"", whole=False, quotes=data.count(b'"') + _skip_rest(source))
        else:
            yield Line(number, data)


def decode(line: Line) -> str:
    """The line's text.

    Raises:
        BadLineError: it is too long or not UTF-8.
    """
    if not line.whole:
        raise BadLineError(ErrorCode.LINE_TOO_LONG, f"the line is longer than {MAX_LINE} bytes")
    try:
        return line.data.decode()
    except UnicodeDecodeError as error:
        hint = ", which begins like UTF-16" if line.number == 1 and line.data.startswith(_UTF16_MARKS) else ""
        raise BadLineError(
            ErrorCode.INVALID_ENCODING, f"not UTF-8 at byte {error.start + 1} of the line{hint}"
        ) from None


def _skip_rest(source: LineSource) -> int:
    """Pass over the rest of a line; the number of double quotes in it."""
    quotes = 0
    while data := source.readline(MAX_LINE):
        quotes += data.count(b'"')
        if data.endswith(b"\n"):
            break
    return quotes
