"""JSON objects of known fields, each with its check: what the ledger's messages and notes are."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from wire.errors import LedgerError

Check = Callable[[object], bool]
_NONE: Final[Mapping[str, Check]] = {}


def shaped(shape: re.Pattern[str]) -> Check:
    """Text that is of this shape as a whole."""
    return lambda value: isinstance(value, str) and shape.fullmatch(value) is not None


def number(low: int = 0, high: int = 2**53) -> Check:
    """A whole number from `low` to `high`."""
    return lambda value: type(value) is int and low <= value <= high


def dump(fields: Mapping[str, object]) -> str:
    """The object as text, without blanks, its names in order."""
    return json.dumps(fields, separators=(",", ":"), sort_keys=True)


def parse_object(
    body: str | bytes, longest: int, what: str, fields: Mapping[str, Check], optional: Mapping[str, Check] = _NONE
) -> dict[str, Any]:
    """The object in `body`, of at most `longest` characters; an optional field may be missing, or null.

    Raises:
        LedgerError: it is not exactly one such object.
    """
    if len(body) > longest:
        raise LedgerError(f"{what}: {len(body)} bytes, at most {longest} are allowed")
    try:
        found = json.loads(body, object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # No cause is chained: JSON errors quote the text.
        raise LedgerError(f"{what}: not the JSON object that was expected") from None
    if not isinstance(found, dict):
        raise LedgerError(f"{what}: not a JSON object")
    wrong = [name for name, holds in fields.items() if not holds(found.get(name))]
    wrong += [name for name, holds in optional.items() if found.get(name) is not None and not holds(found[name])]
    if wrong or not found.keys() <= fields.keys() | optional.keys():
        raise LedgerError(f"{what}: wrong or missing {', '.join(wrong) or 'nothing, but fields too many'}")
    return found


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _refuse(_: str) -> None:
    raise ValueError("not a whole number")
