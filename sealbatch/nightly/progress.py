"""How far each file is, for whoever looks on: in Redis, for a day, in counts, and of no consequence.

A Redis that is gone or was flushed costs the bar and nothing else, so every failure of it is passed over here.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from sealbatch.nightly.redis_names import PROGRESS

LIFE: Final = 86_400


@dataclass(frozen=True, slots=True)
class Step:
    """`done` of `total` of a phase (`sealing`, `answering`, `delivering`) of a file."""

    schedule: str
    run: str
    item: str
    phase: str
    done: int
    total: int


class RedisProgress:
    """A hash in Redis with a field for each file."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    def show(self, step: Step) -> None:
        """Put the file's field."""
        with contextlib.suppress(RedisError, OSError), self._redis.pipeline(transaction=False) as pipe:
            pipe.hset(PROGRESS, f"{step.schedule}/{step.run}/{step.item}", json.dumps(asdict(step)))
            pipe.expire(PROGRESS, LIFE)
            pipe.execute()

    def all(self) -> list[Step]:
        """What is shown at present.

        Raises:
            RedisError: there is no Redis.
        """
        return [Step(**json.loads(value)) for value in self._redis.hgetall(PROGRESS).values()]


def connect(url: str) -> "Redis":
    """A client that gives up soon: nobody waits for a progress bar."""
    return Redis.from_url(url, socket_connect_timeout=2, socket_timeout=5)
