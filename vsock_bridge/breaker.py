"""Stops the receiving when KMS refuses the enclave, and tries one chunk at a time until it no longer does."""

import threading
import time
from collections.abc import Callable


class CircuitBreaker:
    """Closed, open for a while, or half open: one trial. The while doubles with every failed trial."""

    def __init__(self, first: float, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._first = first
        self._longest = longest
        self._clock = clock
        self._lock = threading.Lock()
        self._delay = 0.0
        self._until = 0.0
        self._trial = False

    @property
    def is_open(self) -> bool:
        """Whether less than everything is received."""
        with self._lock:
            return self._delay > 0.0

    def permits(self, wanted: int) -> int:
        """How many of `wanted` chunks may be received now; a trial is one chunk, and counts as begun."""
        with self._lock:
            if self._delay == 0.0:
                return wanted
            if self._trial or self._clock() < self._until or wanted < 1:
                return 0
            self._trial = True
            return 1

    def trip(self) -> float:
        """A chunk was refused: receive nothing for so many seconds, which are returned."""
        with self._lock:
            now = self._clock()
            if self._delay == 0.0 or self._trial:
                self._delay = min(self._longest, self._delay * 2 or self._first)
                self._until = now + self._delay
            # Chunks that were under way when it tripped prolong nothing.
            self._trial = False
            return max(0.0, self._until - now)

    def succeed(self) -> None:
        """A chunk was answered: receive freely again."""
        with self._lock:
            self._delay = 0.0
            self._trial = False

    def release(self) -> None:
        """The trial ended without telling anything (no chunk came, or a fault of another kind): another may begin."""
        with self._lock:
            self._trial = False
