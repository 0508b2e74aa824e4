"""The messages that this bridge has received and neither deleted nor given back, and the pieces of each."""

import threading
import time
from collections.abc import Callable, Sequence
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
    pieces: set["Piece"] = field(default_factory=set)
    """Those of it that are neither answered nor given up."""


@dataclass(slots=True, eq=False)
class Piece:
    """The records `first` to `first + count - 1` of a held chunk: what an enclave is asked for at a time."""

    held: Held
    first: int
    count: int
    alone: bool = False
    """It is given only to an enclave that has nothing else of this bridge."""
    deaths: int = 0
    """Enclaves that ended with it while it was alone."""


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

    def holds(self, held: Held) -> bool:
        """Whether the message is still ours."""
        with self._lock:
            return id(held) in self._held

    def split(self, held: Held, ranges: Sequence[tuple[int, int]], *, alone: bool = False) -> list[Piece]:
        """Ask for a message's chunk in pieces of these (first, count)."""
        pieces = [Piece(held, first, count, alone) for first, count in ranges]
        with self._lock:
            held.pieces = set(pieces)
        return pieces

    def settle(self, piece: Piece) -> bool:
        """A piece is answered or given up; True if it was the last of its message."""
        with self._lock:
            piece.held.pieces.discard(piece)
            self._lock.notify_all()
            return not piece.held.pieces

    def open(self, piece: Piece) -> bool:
        """Whether a piece is unsettled, and its message still ours."""
        with self._lock:
            return piece in piece.held.pieces and id(piece.held) in self._held

    def died(self, piece: Piece) -> None:
        """An enclave ended while it had this piece alone; its message is kept for another trial."""
        self.touch(piece.held)
        with self._lock:
            piece.deaths += 1
            self._lock.notify_all()

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

    def wait_change(self, timeout: float) -> None:
        """Wait until a piece is settled or a message let go, or `timeout` seconds have passed."""
        with self._lock:
            self._lock.wait(timeout)
