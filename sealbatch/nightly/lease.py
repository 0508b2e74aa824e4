"""Keeps workers from doing the same work at the same time.

It saves work and decides nothing: every step may be done twice, so a Redis that is gone or was flushed lets everybody
work.
"""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis.exceptions import RedisError

LIFE: Final = 60
"""Seconds after which the work of a worker that died may be begun by another."""
QUEUED_LIFE: Final = 900
"""Seconds after which work that is in the queue is put there again."""

_RENEW: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('expire', KEYS[1], ARGV[2]) end return 0"
)
_RELEASE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class Leases:
    """Marks in Redis for work that is queued and work that is being done."""

    def __init__(self, redis: Any, prefix: str = "sealbatch:lease") -> None:
        self._redis = redis
        self._prefix = prefix

    def queue(self, mark: str) -> bool:
        """Whether the work is not in the queue and not being done; it counts as queued from now on."""
        try:
            if self._redis.exists(f"{self._prefix}:run:{mark}"):
                return False
            return bool(self._redis.set(f"{self._prefix}:queued:{mark}", 1, nx=True, ex=QUEUED_LIFE))
        except (RedisError, OSError):
            return True

    @contextmanager
    def run(self, mark: str) -> Iterator[bool]:
        """Do the work inside; False if somebody else is at it."""
        token = secrets.token_hex(8)
        name = f"{self._prefix}:run:{mark}"
        try:
            self._redis.delete(f"{self._prefix}:queued:{mark}")
            free = bool(self._redis.set(name, token, nx=True, ex=LIFE))
        except (RedisError, OSError):
            yield True
            return
        if not free:
            yield False
            return
        over = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(name, token, over), daemon=True)
        renewing.start()
        try:
            yield True
        finally:
            over.set()
            renewing.join()
            with contextlib.suppress(RedisError, OSError):
                self._redis.eval(_RELEASE, 1, name, token)

    def _renew(self, name: str, token: str, over: threading.Event) -> None:
        while not over.wait(LIFE / 3):
            with contextlib.suppress(RedisError, OSError):
                self._redis.eval(_RENEW, 1, name, token, LIFE)
