"""Asks for single records, one at a time, of an enclave that has nothing else of this bridge.

Only here is a record given up, and only for enclaves that ended while it was alone with them, again and again: whatever
else kills enclaves or bridges, or makes a message come many times, costs no record its answer.
"""

import threading
from typing import Final

from vsock_bridge.backoff import Backoff
from vsock_bridge.held import HeldRegistry, Piece
from vsock_bridge.metrics import Metrics
from vsock_bridge.pool import Pool
from vsock_bridge.settle import Settler

GIVE_UP: Final = 5
"""Enclaves in succession that end with a record alone before it is given up."""
IDLE: Final = 0.5
"""Seconds between looks at what changes without a signal: a connection."""
AFTER_A_DEATH: Final = Backoff(0.2, 15.0)


class Trials:
    """The lone trials of one bridge, on the thread that receives: while one runs, nothing joins it."""

    def __init__(
        self,
        *,
        pool: Pool,
        registry: HeldRegistry,
        settler: Settler,
        stopping: threading.Event,
        metrics: Metrics,
        patience: float,
    ) -> None:
        """`patience` is in seconds: how long a record waits for an enclave that is idle."""
        self._pool = pool
        self._registry = registry
        self._settler = settler
        self._stopping = stopping
        self._metrics = metrics
        self._patience = patience

    def ask(self, piece: Piece, sealed: bytes) -> bool:
        """Ask until the record has an outcome; False if its message went back, or is not ours now."""
        while self._registry.open(piece) and not self._stopping.is_set():
            deaths = piece.deaths
            if not self._hand_over(piece, sealed):
                return False
            self._await(piece, deaths)
            if piece.deaths >= GIVE_UP:
                self._settler.give_up(piece)
                self._await(piece, piece.deaths)
            elif piece.deaths > deaths:
                # Time for an enclave to come back, and for what ends enclaves besides to pass.
                self._stopping.wait(AFTER_A_DEATH.pause(piece.deaths))
        return self._registry.holds(piece.held)

    def _hand_over(self, piece: Piece, sealed: bytes) -> bool:
        until = self._registry.clock() + self._patience
        while not self._stopping.is_set() and self._registry.holds(piece.held) and self._registry.clock() < until:
            self._metrics.turned()
            if self._pool.send(piece, sealed):
                return True
            self._registry.wait_change(IDLE)
        self._settler.hand_back(piece.held)
        return False

    def _await(self, piece: Piece, deaths: int) -> None:
        """Wait until the record is settled, its message is no longer ours, or its enclave has ended."""
        while self._registry.open(piece) and piece.deaths == deaths and not self._stopping.is_set():
            self._metrics.turned()
            self._registry.wait_change(IDLE)
