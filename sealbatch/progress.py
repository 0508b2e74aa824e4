"""How a long call says how far it is, and how it waits."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sealbatch.arguments import check_types


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` (None if unknown) of `what`; `note` is what else there is to say, and may change."""

    what: str
    done: int
    total: int | None
    note: str = ""


Told: TypeAlias = Callable[[Progress], None]
"""Called now and then by a long call; what it raises ends the call."""
Pause: TypeAlias = Callable[[float], None]
"""Waits for seconds; what it raises ends the call."""


def ignore(_: Progress) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A time that a wait may last: `deadline` in seconds of the monotonic clock, None for as long as it takes."""

    deadline: float | None
    pause: Pause

    @classmethod
    def of(cls, timeout: float | None, pause: Pause) -> "Limit":
        """From now on, `timeout` seconds.

        Raises:
            OptionError: it is no number, or `pause` no function.
        """
        check_types(timeout=timeout, pause=pause)
        return cls(None if timeout is None else time.monotonic() + timeout, pause)

    @property
    def over(self) -> bool:
        """Whether the time has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the time."""
        left = seconds if self.deadline is None else self.deadline - time.monotonic()
        self.pause(max(0.0, min(seconds, left)))
