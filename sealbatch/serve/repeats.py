"""Requests that come again because their answer was lost: what the first one made is told, and not made twice."""

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

MAX_REMEMBERED: Final = 1000
"""Requests of which it is remembered what they made."""
TRIES: Final = 1800.0
"""Seconds from a client's first attempt to its last one: OpenAI's tries three times, and waits for each ten minutes."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a request stands to those before it: `key` is its Idempotency-Key; it may be `again` what came before."""

    key: str | None
    again: bool

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Attempt":
        """As its headers tell: OpenAI's clients count how often they have tried before."""
        key = headers.get("idempotency-key")
        return cls(key, key is not None or headers.get("x-stainless-retry-count", "0") != "0")


class _Making(Future[dict[str, Any]]):
    """What a request makes, and when it came."""

    def __init__(self) -> None:
        super().__init__()
        self.since = time.monotonic()


class Repeats:
    """What requests made, until their client shows that it knows it, or tries no more. Threads may share it."""

    def __init__(self) -> None:
        self._made: OrderedDict[bytes, _Making] = OrderedDict()
        self._lock = threading.Lock()

    def once(self, attempt: Attempt, content: list[Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` makes, or has made or is making for the request of the same content that this one repeats.

        Raises:
            What `make` raises; then another attempt makes it anew.
        """
        name = hashlib.sha256(json.dumps([attempt.key, content], sort_keys=True).encode()).digest()
        with self._lock:
            first = self._made.get(name) if attempt.again else None
            if first is not None and first.done() and time.monotonic() - first.since > TRIES:
                first = None  # the same request of another day
            if first is None:
                mine = self._made[name] = _Making()
                self._made.move_to_end(name)
                while len(self._made) > MAX_REMEMBERED:
                    self._made.popitem(last=False)
        if first is not None:
            return first.result()
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                if self._made.get(name) is mine:
                    del self._made[name]
            mine.set_exception(error)
            raise
        mine.set_result(made)
        return made

    def known(self, made: str) -> None:
        """The client asked for what has this id: its answer was not lost, and the same request means another one."""
        with self._lock:
            for name, future in list(self._made.items()):
                if future.done() and future.result()["id"] == made:
                    del self._made[name]
