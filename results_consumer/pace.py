"""How often a job is looked at that others work on: each look is a LIST that is paid for."""

from typing import Final

FIRST: Final = 0.25
MOVING: Final = 1.0
"""Seconds until the next look at least, once a job moves."""
LONGEST: Final = 10.0


class Pace:
    """Seconds between looks: more and more while nothing moves, fewer as soon as something does."""

    def __init__(self) -> None:
        self._pause = FIRST

    def after(self, *, moved: bool) -> float:
        """How long to wait after a look that showed that something moved, or that nothing did."""
        pause = self._pause
        self._pause = max(MOVING, pause / 2) if moved else min(LONGEST, pause * 1.5)
        return pause
