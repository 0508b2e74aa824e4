"""What the work on one schedule's files needs: the schedule, its inbox and records, AWS, the clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from producer.clients import Clients
from producer.lookup import Idempotency
from producer.settings import ProducerSettings
from results_consumer.settings import ReaderSettings
from sealbatch.nightly.clock import Clock
from sealbatch.nightly.faults import FILE_GONE, NightError
from sealbatch.nightly.inbox import Inbox, Input
from sealbatch.nightly.progress import Step
from sealbatch.nightly.records import as_record
from sealbatch.nightly.runs import Runs
from sealbatch.nightly.schedule import NightlySettings, Schedule
from sealbatch.nightly.shelf import Record, Shelf
from sealbatch.nightly.target import Target


@dataclass(frozen=True, slots=True)
class Aws:
    """Clients and settings of the roles that seal, open and tell; `sns` is None where no schedule tells a topic."""

    producer: Clients
    producer_settings: ProducerSettings
    reader_s3: Any
    reader_kms: Any
    reader_settings: ReaderSettings
    sns: Any = None


@dataclass(frozen=True, slots=True)
class Context:
    """One schedule at work."""

    schedule: Schedule
    settings: NightlySettings
    inbox: Inbox
    shelf: Shelf
    aws: Aws
    clock: Clock
    secret: bytes = field(repr=False)
    told: Callable[[Step], None] = lambda _: None
    """Hears how far each file is."""

    def now(self) -> datetime:
        """The present, by the schedule's clock."""
        return self.clock.now()

    def machine_ms(self, moment: datetime) -> int:
        """A moment by the machine's clock, which dates jobs and receipts: milliseconds since 1970."""
        return int(self.clock.to_machine(moment).timestamp() * 1000)

    def machine_now_ms(self) -> int:
        """The present by the machine's clock."""
        return self.machine_ms(self.now())

    @property
    def runs(self) -> Runs:
        """The schedule's runs."""
        return Runs(self.schedule, self.shelf, self.clock)

    def deadline_ms(self, run: str) -> int | None:
        """The deadline of the run's jobs by the machine's clock, in milliseconds since 1970."""
        if self.schedule.deadline is None:
            return None
        return self.machine_ms(self.runs.opened(run) + self.schedule.deadline)

    def key(self, run: str, digest: str) -> Idempotency:
        """What makes one job of a file, however often it is submitted: schedule, scheduled time, content.

        Whoever edits a schedule's parameters in the middle of a night means the next one: what was begun goes on.
        """
        return Idempotency(f"{self.schedule.name}/{run}/{digest}", self.secret, any_input=True)

    def input(self, run: str, item: str) -> Input:
        """A file that was taken.

        Raises:
            NightError: it is not where it was put.
        """
        found = self.inbox.find(run, item)
        if found is None:
            raise NightError(FILE_GONE)
        return found

    def target(self, run: str) -> Target:
        """Where a run's answers go."""
        return Target(f"{self.schedule.answers}/{run}", self.aws.reader_s3)

    def show(self, run: str, item: str, phase: str, done: int, total: int) -> None:
        """Say how far a file is."""
        self.told(Step(self.schedule.name, run, item, phase, done, total))

    def dated(self, **fields: Any) -> Record:
        """A record with the time at which it was made."""
        return as_record(at=self.now(), **fields)

    def later(self, delay: timedelta) -> str:
        """A moment from now, for a record."""
        return (self.now() + delay).isoformat()
