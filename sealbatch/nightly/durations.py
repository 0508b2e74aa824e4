"""Lengths of time as people write them: `90s`, `15m`, `6h`, `2d`."""

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator

_SHAPE: Final = re.compile(r"([1-9][0-9]{0,5})\s*([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(value: object) -> timedelta:
    """The length that `value` spells, or that it is already.

    Raises:
        ValueError: it spells none.
    """
    if isinstance(value, timedelta):
        return value
    match = _SHAPE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a number and a unit, such as "90s", "15m", "6h" or "2d"')
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
