"""Makes the reports of the enclave's state: one for all connections, and never of less than a whole interval.

A parent that connects often, or waits for a certain moment, gets the same report as everybody: how the time is cut is
not for it to choose.
"""

import threading
import time
from collections.abc import Callable

from enclave_worker.driver import Driver, Load
from enclave_worker.vitals import Vitals
from wire.report import (
    LEAST_RESTARTS,
    LEAST_SEQUENCES,
    LEAST_TOKENS,
    MAX_MEMORY,
    MEMORY_UNIT,
    OCCUPANCY_PARTS,
    Report,
    grade,
    parts,
)


class Telemetry:
    """Safe from any thread."""

    def __init__(
        self,
        driver: Driver,
        vitals: Callable[[], Vitals],
        *,
        batch: int,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`batch` is how many sequences the engine runs at a time, `interval` seconds."""
        self._driver = driver
        self._vitals = vitals
        self._batch = batch
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._before = driver.load()
        self._report: Report | None = None

    def latest(self) -> Report | None:
        """The last report; a new one, which is another object, once a whole interval has passed. None in the first."""
        with self._lock:
            now = self._clock()
            if now - self._since >= self._interval:
                load = self._driver.load()
                self._report = self._made(self._before, load, now - self._since)
                self._since, self._before = now, load
            return self._report

    def _made(self, before: Load, load: Load, seconds: float) -> Report:
        vitals = self._vitals()
        filled = (load.sequence_seconds - before.sequence_seconds) / (seconds * self._batch)
        return Report(
            ready=vitals.ready,
            tokens=grade((load.tokens - before.tokens) / seconds, LEAST_TOKENS),
            occupancy=parts(filled, 1 / OCCUPANCY_PARTS, OCCUPANCY_PARTS),
            sequences=grade(load.accepted, LEAST_SEQUENCES),
            waiting=grade(load.waiting, LEAST_SEQUENCES),
            restarts=grade(vitals.restarts, LEAST_RESTARTS),
            memory=parts(vitals.resident, MEMORY_UNIT, MAX_MEMORY),
        )
