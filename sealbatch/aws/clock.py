"""Compares this machine's clock with AWS's: signatures and deadlines go by it."""

import logging
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final

TOLERANCE: Final = 60.0
"""Seconds of difference that are nobody's concern: a reply's date has no fractions, and replies take time."""
MAX_SKEW: Final = 240.0
"""Seconds: AWS refuses a signature that is five minutes off."""

_log: Final = logging.getLogger("sealbatch.clock")


def seconds_ahead(date: str, now: float) -> float:
    """How far `now` (seconds since 1970) is ahead of the Date of a reply.

    Raises:
        TypeError, ValueError: it is no date.
    """
    return now - parsedate_to_datetime(date).timestamp()


class SkewWatch:
    """Looks at the Date of AWS's replies and says once how far the clock is off."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._said = False

    def look(self, http_response: Any = None, **_: Any) -> None:
        """What botocore calls after every call; whatever the reply, it is no reason to fail."""
        try:
            ahead = seconds_ahead(http_response.headers["date"], self._now())
        except (AttributeError, KeyError, TypeError, ValueError):
            return
        if abs(ahead) <= TOLERANCE:
            return
        with self._lock:
            said, self._said = self._said, True
        if not said:
            way = "ahead of" if ahead > 0 else "behind"
            # Whatever the verb, its deadlines and its signatures are wrong: this is said without --verbose.
            _log.critical("this machine's clock is %.0f s %s AWS's: deadlines come wrong; set it", abs(ahead), way)
