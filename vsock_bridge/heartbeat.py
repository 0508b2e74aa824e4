"""Keeps held messages invisible while their enclave makes progress, and no longer."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from vsock_bridge.chunk_queue import ChunkQueue
from vsock_bridge.held import Held, HeldRegistry
from vsock_bridge.settings import MAX_VISIBILITY, BridgeSettings

BEATS: Final = 3
"""Extensions within one visibility period: two may fail before a message shows."""

_MEANS: Final = {
    "cap": "SQS hides a message for 12 hours at the most; it comes again, smaller",
    "stall": "its enclave shows no progress; other bridges may take it",
}

_log = logging.getLogger("sealbatch.vsock_bridge")


class Heartbeat:
    """One thread that extends the visibility of what is held, and has hung enclaves cut off."""

    def __init__(
        self,
        queue: ChunkQueue,
        registry: HeldRegistry,
        settings: BridgeSettings,
        eject: Callable[[float], None],
    ) -> None:
        """`eject` closes the connections on which nothing came for so many seconds though work is outstanding."""
        self._queue = queue
        self._registry = registry
        self._settings = settings
        self._eject = eject
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread."""
        self._stop.set()
        self._thread.join()

    def beat(self) -> None:
        """Extend once what is alive; what is not is left to become visible to another bridge."""
        alive = [held for held in self._registry.all() if self._alive(held)]
        if alive:
            self._queue.extend(alive)

    def _alive(self, held: Held) -> bool:
        now = self._registry.clock()
        # SQS counts its 12 hours from receipt and refuses an extension beyond them.
        capped = now - held.received + self._settings.visibility > MAX_VISIBILITY
        if not capped and now - self._registry.alive_at(held) <= self._settings.stall:
            held.abandoned = False
            return True
        if not held.abandoned:
            held.abandoned = True
            chunk = held.chunk
            why = "cap" if capped else "stall"
            _log.error("chunk no longer kept job=%s chunk=%d reason=%s: %s", chunk.job, chunk.chunk, why, _MEANS[why])
        return False

    def _run(self) -> None:
        while not self._stop.wait(self._settings.visibility / BEATS):
            self.beat()
            self._eject(self._settings.stall)
