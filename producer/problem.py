"""What is wrong with a line of input: a code, a place and words that never quote the line."""

from dataclasses import dataclass

from wire.payload import ErrorCode


@dataclass(frozen=True, slots=True)
class Problem:
    """One line or row that is no question.

    `line` counts from 1; for a CSV row it is the line on which the row begins. `param` is the path of the field, such
    as `body.messages[0].content`. After a `fatal` problem nothing more was read, because where the next row begins
    cannot be known; such an input cannot be submitted with its invalid lines skipped.
    """

    line: int
    code: ErrorCode
    message: str
    param: str | None = None
    fatal: bool = False


class BadLineError(Exception):
    """Raised while one line is being read; `producer.questions` turns it into a `Problem`, so it never gets out."""

    def __init__(self, code: ErrorCode, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param

    def at(self, line: int, *, fatal: bool = False) -> Problem:
        """The problem of the line `line`."""
        return Problem(line, self.code, self.message, self.param, fatal)


def invalid(message: str, param: str | None = None) -> BadLineError:
    """The commonest kind: a field that is missing or wrong."""
    return BadLineError(ErrorCode.INVALID_RECORD, message, param)
