"""The messages that this bridge has received and neither deleted nor given back."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from wire.ledger import ChunkMessage


@dataclass(slots=True, eq=False)
class Held:
    """One received message; `received` and `alive_at` are readings of the registry's clock, in seconds."""

    message_id: str
    receipt: str
    receives: int
    chunk: ChunkMessage
    received: float
    alive_at: float
    waiting: bool = field(default=True)
    """No enclave has it yet."""
    abandoned: bool = field(default=False)


class HeldRegistry:
    """All held messages; safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Condition()
        self._held: dict[int, Held] = {}
        self._progress_at = float("-inf")

    def add(self, held: Held) -> None:
        """Hold a message."""
        with self._lock:
            self._held[id(held)] = held

    def remove(self, held: Held) -> bool:
        """Let go of a message; False if someone else has already done so and it is no longer ours to settle."""
        with self._lock:
            found = self._held.pop(id(held), None) is not None
            self._lock.notify_all()
            return found

    def touch(self, held: Held) -> None:
        """Note that the chunk's enclave works on it."""
        held.alive_at = self._progress_at = self.clock()

    def alive_at(self, held: Held) -> float:
        """When the chunk last showed life; one that waits its turn lives as long as any enclave works."""
        return max(held.alive_at, self._progress_at) if held.waiting else held.alive_at

    def all(self) -> list[Held]:
        """What is held now."""
        with self._lock:
            return list(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def wait_below(self, limit: int, timeout: float) -> int:
        """Wait until fewer than `limit` are held or `timeout` seconds have passed; how many are held then."""
        with self._lock:
            self._lock.wait_for(lambda: len(self._held) < limit, timeout)
            return len(self._held)
