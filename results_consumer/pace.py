"""How often a job is looked at that others work on: each look is a LIST that is paid for."""

from typing import Final

FIRST: Final = 0.25
MOVING: Final = 1.0
"""Seconds that the pause grows to while a job moves, and falls to when it moves again."""
LONGEST: Final = 10.0
GROWTH: Final = 1.25


class Pace:
    """Seconds between looks: more and more while nothing moves, fewer as soon as something does."""

    def __init__(self) -> None:
        self._pause = FIRST

    def after(self, *, moved: bool) -> float:
        """How long to wait after a look that showed that something moved, or that nothing did."""
        pause = self._pause
        longer = pause * GROWTH
        self._pause = max(min(MOVING, longer), pause / 2) if moved else min(LONGEST, longer)
        return pause
