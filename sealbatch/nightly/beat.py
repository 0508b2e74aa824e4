"""Beat with a lock that fails closed: no lock, or no Redis to ask, no tick.

Two beats are harmless, since runs begin by a record that is written once; the lock keeps the second one quiet.
"""

import contextlib
import logging
import time
from datetime import timedelta
from typing import Any

from celery.beat import Scheduler
from prometheus_client import Counter
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from sealbatch.nightly.progress import connect
from sealbatch.nightly.redis_names import BEAT

_log = logging.getLogger("sealbatch.nightly")


class BeatLock:
    """Held by one beat at a time, for `life` seconds from each time that it is asked for."""

    def __init__(self, redis: Any, life: float) -> None:
        self._lock = Lock(redis, BEAT, timeout=life, blocking=False)

    def hold(self) -> bool:
        """Take or keep the lock; False if another beat has it, or if Redis does not say that we do."""
        with contextlib.suppress(RedisError, OSError):
            try:
                return self._lock.reacquire()
            except LockError:  # not ours, or not any more
                return bool(self._lock.acquire())
        return False


class BeatMetrics:
    """What one beat does: `ticks` that Redis took, and whether it still turns."""

    def __init__(self, tick: timedelta) -> None:
        self.ticks = Counter("sealbatch_beat_ticks", "Ticks put into Redis", registry=None)
        self._patience = max(60.0, 3 * tick.total_seconds())
        self._turned = time.monotonic()

    def turned(self) -> None:
        """A tick is due."""
        self._turned = time.monotonic()

    def health(self) -> tuple[bool, dict[str, object]]:
        """Whether ticks have come when they should, and seconds since the last."""
        age = time.monotonic() - self._turned
        return age < self._patience, {"loop_age": round(age, 1)}


class LockedScheduler(Scheduler):  # type: ignore[misc]  # celery has no types
    """Sends what is due as long as it holds the lock."""

    lock: BeatLock | None = None

    def __init__(self, *args: Any, metrics: BeatMetrics, **kwargs: Any) -> None:
        self._metrics = metrics
        super().__init__(*args, **kwargs)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a task, or not."""
        self._metrics.turned()
        if self._lock().hold():
            super().apply_entry(entry, producer)
        else:
            _log.info("tick not sent: another beat holds the lock, or Redis does not answer")

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Send it, and count it; one that Redis does not take is an exception."""
        sent = super().apply_async(*args, **kwargs)
        self._metrics.ticks.inc()
        return sent

    def _lock(self) -> BeatLock:
        if self.lock is None:
            url = self.app.conf.broker_url.replace("redis+socket://", "unix://", 1)
            tick = float(self.app.conf.beat_schedule["tick"]["schedule"].total_seconds())
            self.lock = BeatLock(connect(url), max(15.0, 3 * tick))
        return self.lock
