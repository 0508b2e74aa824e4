"""Times and spans as people type them, and as programs have them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

Parsed = TypeVar("Parsed")

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN: Final = re.compile(r"([0-9]{1,6})\s*([smhd])")


def parse_moment(text: str) -> int:
    """Milliseconds since 1970 UTC of an ISO 8601 time; one without an offset is local.

    Raises:
        ValueError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
        return round(moment.astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise ValueError("a time is spelled like 2026-11-26T05:00 (local) or 2026-11-26T05:00Z") from None


def parse_span(text: str) -> timedelta:
    """A number of seconds, minutes, hours or days.

    Raises:
        ValueError: it is none, or nothing.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise ValueError('must be a number and a unit, such as "90s", "15m", "6h" or "2d"')
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def local_minute(seconds: float) -> str:
    """A time in seconds since 1970, for people: date, hour and minute of this machine's zone."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def spell_moment(moment: datetime | str | None) -> str | None:
    """A time as it is typed."""
    return moment.isoformat() if isinstance(moment, datetime) else moment


def spell_span(span: timedelta | str | None) -> str | None:
    """A span as it is typed; it is counted in minutes, and never shorter than asked for."""
    return f"{-(-span // timedelta(minutes=1))}m" if isinstance(span, timedelta) else span


@dataclass(frozen=True, slots=True)
class JobTimes:
    """When a job may begin and when it ends, as typed. `window` counts from now, or from `not_before`."""

    deadline: str | None = None
    window: str | None = None
    not_before: str | None = None

    def resolve(self, now_ms: int) -> tuple[int | None, int | None]:
        """The deadline and the beginning in milliseconds since 1970; None where nothing was said.

        Raises:
            ValueError: an option is no time, or times do not fit each other; the text begins with the option's name.
        """
        begins = None if self.not_before is None else _named("not-before", parse_moment, self.not_before)
        if self.deadline is not None and self.window is not None:
            raise ValueError("completion-window: either this or --deadline")
        ends = None if self.deadline is None else _named("deadline", parse_moment, self.deadline)
        if self.window is not None:
            span = _named("completion-window", parse_span, self.window)
            ends = (begins or now_ms) + round(span.total_seconds() * 1000)
        if ends is not None and ends <= now_ms:
            raise ValueError("deadline: it has passed already")
        if ends is not None and begins is not None and ends <= begins:
            raise ValueError("deadline: it is not after --not-before")
        return ends, begins


def _named(name: str, parse: Callable[[str], Parsed], text: str) -> Parsed:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
