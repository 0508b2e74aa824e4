"""Says what is seen, with the seconds since the start, and remembers what was not as it must be."""

import time
from collections.abc import Callable
from typing import Final

from devstack.part import Part

POLL: Final = 0.1


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
            PartDiedError: one of them ended. TimeoutError: it took too long.
        """
        deadline = time.monotonic() + self.patience
        while not there():
            for part in parts:
                part.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} is not there after {self.patience:.0f} s")
            time.sleep(POLL)
