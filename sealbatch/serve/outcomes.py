"""What jobs that have ended came to, each verified once."""

import json
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from aws_errors.service_error import ServiceError
from results_consumer.errors import JobNotFinished
from results_consumer.sink import LineSink
from results_consumer.tally import FetchSummary
from sealbatch.job import Job

KEPT: Final = 1000
"""Outcomes that are remembered; others are verified again when they are asked for."""
FAILED: Final = 60.0
"""Seconds for which it is remembered that a job does not verify: what was missing or wrong may be mended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job that was `verified` at that second since 1970: its counts, and the bytes of answers and errors as lines."""

    verified: int
    summary: FetchSummary
    output_bytes: int
    error_bytes: int


class _Sizes(LineSink):
    """A sink that counts and keeps nothing."""

    def __init__(self) -> None:
        self.output = self.error = 0

    def take(self, line: bytes) -> None:
        """Add its size."""
        if json.loads(line)["response"] is None:
            self.error += len(line)
        else:
            self.output += len(line)


@dataclass(slots=True)
class _Look:
    """A verification of a job with these retries, and when it was first told that it failed."""

    retries: list[str]
    future: Future[Outcome]
    failed: float | None = None

    def holds(self, retries: list[str]) -> bool:
        return self.retries == retries and (self.failed is None or time.monotonic() - self.failed < FAILED)


class Outcomes:
    """Verifies jobs that have ended, two at a time, in the background."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, "sealbatch-verify")
        self._found: OrderedDict[str, _Look] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, job: Job, seconds: float) -> Outcome | None:
        """The outcome of a job that has ended; None while it is being verified, for which `seconds` are waited.

        Raises:
            SealbatchError: it does not verify. What may pass is tried again at the next look, all else after a while.
        """
        retries = job.retries()
        with self._lock:
            found = self._found.get(job.ticket)
            if found is None or not found.holds(retries):
                found = self._found[job.ticket] = _Look(retries, self._pool.submit(_verify, job))
                while len(self._found) > KEPT:
                    self._found.popitem(last=False)
        try:
            return found.future.result(seconds)
        except TimeoutError:
            return None
        except (JobNotFinished, ServiceError):
            self.forget(job.ticket)
            raise
        except Exception:
            found.failed = found.failed or time.monotonic()
            raise

    def known(self) -> list[tuple[str, Outcome]]:
        """Tickets and outcomes of what was verified."""
        with self._lock:
            done = [(ticket, found.future) for ticket, found in self._found.items() if found.future.done()]
        return [(ticket, future.result()) for ticket, future in done if future.exception() is None]

    def forget(self, ticket: str) -> None:
        """Verify it anew when it is asked for."""
        with self._lock:
            self._found.pop(ticket, None)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _verify(job: Job) -> Outcome:
    sizes = _Sizes()
    summary = job.fetch_into(sizes)
    return Outcome(int(time.time()), summary, sizes.output, sizes.error)
