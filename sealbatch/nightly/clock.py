"""The schedules' own clock: the machine's, or for tests and demonstrations one that a file sets.

It decides when runs begin and what is tried again when. Jobs, receipts and deadlines are dated by machines that know
nothing of it, so whatever is compared with one of their dates is turned into the machine's time first.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

VARIABLE = "SEALBATCH_CLOCK_FILE"


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> datetime:
        """The present, in UTC."""
        ...

    def to_machine(self, moment: datetime) -> datetime:
        """When it is `moment` here, the machine's clock says this, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.now(UTC)

    def to_machine(self, moment: datetime) -> datetime:
        """The same."""
        return moment


class FileClock:
    """A clock that a file sets: `2026-11-25T07:00:00+00:00` stands at that moment, until somebody writes another.

    With ` x60` behind it, time runs from there since the file was written, sixty times as fast as elsewhere.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def now(self) -> datetime:
        """What the file says.

        Raises:
            OSError: it cannot be read.
            ValueError: it says no moment with a time zone.
        """
        with self._path.open(encoding="ascii") as file:
            text, _, speed = file.read().strip().partition(" x")
            since = time.time() - os.fstat(file.fileno()).st_mtime
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"{self._path}: the moment has no time zone")
        return moment.astimezone(UTC) + timedelta(seconds=since * float(speed or 0))

    def to_machine(self, moment: datetime) -> datetime:
        """As long before or after the machine's present as `moment` is before or after ours, however fast time runs.

        Raises:
            OSError, ValueError: as `now`.
        """
        return datetime.now(UTC) + (moment - self.now())


def entry_clock() -> Clock:
    """The clock of a program that starts: a file's if `SEALBATCH_CLOCK_FILE` names one."""
    named = os.environ.get(VARIABLE)
    return FileClock(Path(named)) if named else SystemClock()
