"""How long to wait before something is tried again: the one place that says it for the whole bridge."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubles from `first` to `longest` seconds, and is never the same twice: what failed together comes apart."""

    first: float
    longest: float

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the attempt of this number, which counts from 1."""
        return min(self.longest, self.first * 2.0 ** min(attempt - 1, 32)) * random.uniform(0.5, 1.0)
