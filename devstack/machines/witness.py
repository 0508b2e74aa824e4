"""Says what is seen, with the seconds since the start, and remembers what was not as it must be."""

import time
from collections.abc import Callable

from devstack.part import Part, wait_until


class Witness:
    """`wrong` counts what was not as it must be; `patience` is how many seconds anything may take."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.wrong = 0
        self._begin = time.monotonic()

    def say(self, text: str) -> None:
        """One line."""
        print(f"{time.monotonic() - self._begin:6.1f} s  {text}", flush=True)  # noqa: T201 - what is shown

    def see(self, right: bool, text: str) -> None:
        """Say what was seen, and whether it must be so."""
        self.wrong += not right
        self.say(text if right else f"NOT as it must be: {text}")

    def until(self, there: Callable[[], bool], what: str, *parts: Part) -> None:
        """Wait for it, while these parts run.

        Raises:
            PartError: one of them ended, or it took too long.
        """
        wait_until(there, self.patience, what, *parts)
