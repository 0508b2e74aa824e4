"""Keeps workers from doing the same work at the same time, and finds work that nobody has.

It saves work and decides nothing: every step may be done twice, so a Redis that is gone or was flushed lets everybody
work. What waits is read from the queue itself. A mark of our own beside it would still say that a task waits when a
worker has taken it and died.
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from redis.exceptions import RedisError
from redis.lock import Lock

from sealbatch.nightly.redis_names import LEASE, TASKS
from sealbatch.nightly.todo import MARK, Todo


class Leases:
    """Marks in Redis for work that is being done; each lasts for `life` and is renewed three times in it."""

    def __init__(self, redis: Any, life: timedelta) -> None:
        self._redis = redis
        self._life = life.total_seconds()

    def free(self, todos: Sequence[Todo]) -> list[Todo]:
        """Those that neither wait in the queue nor are being done; all, if Redis does not say."""
        if not todos:
            return []
        try:
            waiting = {_mark(message) for message in self._redis.lrange(TASKS, 0, -1)}
            held = self._redis.mget([LEASE + todo.mark for todo in todos])
        except (RedisError, OSError):
            return list(todos)
        return [todo for todo, token in zip(todos, held, strict=True) if token is None and todo.mark not in waiting]

    @contextmanager
    def run(self, mark: str) -> Iterator[bool]:
        """Do the work inside; False if somebody else is at it."""
        # Renewed by a thread of its own, so that its token must not be this one's alone.
        lock = Lock(self._redis, LEASE + mark, timeout=self._life, blocking=False, thread_local=False)
        try:
            free = lock.acquire()
        except (RedisError, OSError):
            yield True
            return
        if not free:
            yield False
            return
        over = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(lock, over), daemon=True)
        renewing.start()
        try:
            yield True
        finally:
            over.set()
            renewing.join()
            with contextlib.suppress(RedisError, OSError):
                lock.release()

    def _renew(self, lock: Lock, over: threading.Event) -> None:
        while not over.wait(self._life / 3):
            with contextlib.suppress(RedisError, OSError):
                lock.reacquire()


def _mark(message: bytes) -> str:
    """The mark of a task as it waits in Redis; none of ours has an empty one."""
    try:
        return str(json.loads(message)["headers"].get(MARK, ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""
