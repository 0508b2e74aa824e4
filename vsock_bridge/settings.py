"""What an operator sets for one bridge."""

from dataclasses import dataclass
from typing import Final

from wire.address import Address

MAX_VISIBILITY: Final = 43_200
"""Seconds, counted from receipt, that SQS lets a message stay invisible in all: 12 hours."""
HOLD: Final = MAX_VISIBILITY - 600
"""Seconds at most that a chunk is put off which came before its time; it comes again and is put off again."""


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """Where chunks come from, where answers go, and how patient the bridge is; times in seconds."""

    queue_url: str
    bucket: str
    question_key: str
    enclaves: tuple[Address, ...]
    visibility: int = 120
    wait: int = 10
    """Length of one long poll; a stop waits for the running one, so it is kept short."""
    stall: float = 300.0
    """A chunk whose enclave shows no progress for so long is no longer kept from other bridges."""
    grace: float = 30.0
    """Time that running chunks get to finish when the bridge is told to stop."""
    breaker_first: float = 2.0
    breaker_longest: float = 60.0
    dead_letters: str | None = None
    """URL of the queue for messages that are none of ours."""
