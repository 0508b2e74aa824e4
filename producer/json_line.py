"""Strict JSON for one line: one object, no key twice, no NaN, and errors that say where without saying what."""

import json
from typing import Any, Final, NoReturn

from producer.problem import BadLineError
from wire.payload import ErrorCode

_HINTS: Final = {
    "Expecting value": "a value is missing",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing",
    "Illegal trailing comma before end of object": "a comma too many",
    "Illegal trailing comma before end of array": "a comma too many",
    "Expecting ',' delimiter": "a comma is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Unterminated string starting at": "a text does not end",
    "Invalid control character at": "a control character in a text",
    "Extra data": "more behind the object",
}


class _RefusedError(ValueError):
    """What JSON allows and we do not; its text is ours."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _RefusedError("an object has one name twice")
    return fields


def _no_constant(_: str) -> NoReturn:
    raise _RefusedError("NaN and Infinity are no JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def decode_object(text: str) -> dict[str, Any]:
    """The one JSON object in `text`.

    Raises:
        BadLineError: it is anything else.
    """
    try:
        # Without its line end, a text cut off is told from a control character in it.
        value = _DECODER.decode(text.rstrip("\r\n"))
    except json.JSONDecodeError as error:
        # Only the standard library's fixed phrases are told apart: never its text, which may quote the line.
        hint = _HINTS.get(error.msg, "not valid")
        raise _bad(f"not JSON at character {error.pos + 1}: {hint}") from None
    except _RefusedError as error:
        raise _bad(str(error)) from None
    except ValueError:
        raise _bad("a number has too many digits") from None
    except RecursionError:
        raise _bad("nested too deeply") from None
    if not isinstance(value, dict):
        raise _bad("not a JSON object")
    return value


def _bad(message: str) -> BadLineError:
    return BadLineError(ErrorCode.INVALID_JSON_LINE, message)
