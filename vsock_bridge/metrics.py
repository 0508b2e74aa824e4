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
        self.messages = self._counter("received_messages", "Messages received", kind=("first", "again", "undecodable"))
        self.records = self._counter("records", "Records settled", outcome=OUTCOMES)
        self.refusals = self._counter("refusals", "Pieces that an enclave gave back", code=tuple(RefusalCode))
        self.unwrap_refusals = self._counter("unwrap_refusals", "Keys that KMS did not give", code=tuple(UnwrapCode))
        self.losses = self._counter("losses", "Pieces whose enclave was lost")
        self.retries = self._counter("retries", "Messages given back to be received again")
        self.faults = self._counter("aws_faults", "Calls to AWS that failed after all retries", service=("s3", "sqs"))
        self._age = Histogram(
            "sealbatch_queue_age_seconds",
            "How long a chunk could have been received before it was",
            registry=self.registry,
            buckets=AGES,
        )
        self._seen = time.monotonic()
        self.watch("loop_age_seconds", "Since the receiving loop last turned", lambda: self.loop_age)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show what `read` gives at the time that it is asked for."""
        Gauge(f"sealbatch_{name}", text, registry=self.registry).set_function(read)

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
        self.messages.labels("first" if receives == 1 else "again").inc()
        if age >= 0:
            self._age.observe(age)

    def _counter(self, name: str, text: str, **labels: tuple[str, ...]) -> Counter:
        """A counter of at most one label, which shows 0 for each value of it from the start.

        A series that began with its first event would hide that event: Prometheus needs two points to see a rise.
        """
        counter = Counter(f"sealbatch_{name}", text, tuple(labels), registry=self.registry)
        for values in labels.values():
            for value in values:
                counter.labels(str(value))
        return counter
