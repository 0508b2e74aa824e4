"""What the bridge counts, for Prometheus. No label names a tenant, a job or anything of content."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from wire.messages import RefusalCode, UnwrapCode

OUTCOMES = ("answered", "expired", "canceled", "decrypt_failed", "enclave_lost")
AGES = (1, 5, 15, 60, 300, 900, 3600, 14400, 43200)
"""Seconds; the bounds of the histogram of how long messages lay in the queue."""


class Metrics:
    """One registry for one bridge; safe from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._messages = self._counter("received_messages", "Messages received", kind=("first", "again", "undecodable"))
        self._records = self._counter("records", "Records settled", outcome=OUTCOMES)
        self._refusals = self._counter("refusals", "Pieces that an enclave gave back", code=tuple(RefusalCode))
        self._unwraps = self._counter("unwrap_refusals", "Keys that KMS did not give", code=tuple(UnwrapCode))
        self._losses = self._counter("losses", "Pieces whose enclave was lost")
        self._retries = self._counter("retries", "Messages given back to be received again")
        self._faults = self._counter("aws_faults", "Calls to AWS that failed after all retries", service=("s3", "sqs"))
        self._age = Histogram(
            "sealbatch_queue_age_seconds",
            "How long a chunk could have been received before it was",
            registry=self.registry,
            buckets=AGES,
        )
        self._seen = time.monotonic()
        self._gauge("loop_age_seconds", "Since the receiving loop last turned", lambda: time.monotonic() - self._seen)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show what `read` gives at the time that it is asked for."""
        self._gauge(name, text, read)

    @property
    def loop_age(self) -> float:
        """Seconds since the receiving loop last turned."""
        return time.monotonic() - self._seen

    def turned(self) -> None:
        """The receiving loop is alive."""
        self._seen = time.monotonic()

    def received(self, age: float, receives: int) -> None:
        """A chunk's message came, for the first time or again.

        `age`: seconds since it was sent, or since its time came; negative before that.
        """
        self._messages.labels("first" if receives == 1 else "again").inc()
        if age >= 0:
            self._age.observe(age)

    def undecodable(self) -> None:
        """A message came that is none of ours."""
        self._messages.labels("undecodable").inc()

    def answered(self, records: int) -> None:
        """An answer is durable; which outcomes are in it, only its reader knows."""
        self._records.labels("answered").inc(records)

    def failed(self, code: str, records: int) -> None:
        """Records got a failure in the bridge's word."""
        self._records.labels(code).inc(records)

    def refused(self, code: str) -> None:
        """An enclave gave a piece back."""
        self._refusals.labels(str(code)).inc()

    def unwrap_refused(self, code: str) -> None:
        """KMS gave the enclave no key."""
        self._unwraps.labels(code).inc()

    def lost(self) -> None:
        """A piece was lost with its enclave."""
        self._losses.inc()

    def retried(self) -> None:
        """A message was given back."""
        self._retries.inc()

    def fault(self, service: str) -> None:
        """A call failed for good."""
        self._faults.labels(service).inc()

    def _counter(self, name: str, text: str, **labels: tuple[str, ...]) -> Counter:
        """A counter of at most one label, which shows 0 for each value of it from the start.

        A series that began with its first event would hide that event: Prometheus needs two points to see a rise.
        """
        counter = Counter(f"sealbatch_{name}", text, tuple(labels), registry=self.registry)
        for values in labels.values():
            for value in values:
                counter.labels(str(value))
        return counter

    def _gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        Gauge(f"sealbatch_{name}", text, registry=self.registry).set_function(read)
