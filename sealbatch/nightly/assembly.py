"""Puts a schedule's context together from the configuration: the one place that does."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from producer.settings import ProducerSettings
from results_consumer.settings import ReaderSettings
from sealbatch.clients import Connector, producer_clients, reader_kms, reader_s3
from sealbatch.config import Config
from sealbatch.nightly.clock import Clock
from sealbatch.nightly.context import Aws, Context
from sealbatch.nightly.inbox import OWN, FolderInbox
from sealbatch.nightly.night import Night
from sealbatch.nightly.plan import Plan
from sealbatch.nightly.progress import NO_PROGRESS, Progress
from sealbatch.nightly.schedule import Schedule
from sealbatch.nightly.shelf import FolderShelf
from sealbatch.secret import producer_secret


class Nights:
    """The nights of all schedules of a plan. Clients are made when they are first needed, once."""

    def __init__(self, plan: Plan, clock: Clock, progress: Progress = NO_PROGRESS) -> None:
        self._plan = plan
        self._clock = clock
        self._progress = progress
        self._aws = cache(lambda: _make_aws(plan.config))

    def names(self) -> list[str]:
        """The schedules' names."""
        return [schedule.name for schedule in self._plan.schedules]

    def of(self, name: str) -> Night:
        """The nights of one schedule.

        Raises:
            ConfigError: there is no such schedule, or something is missing or wrong in the configuration.
        """
        return Night(self.context(name))

    def context(self, name: str) -> Context:
        """What the work on one schedule needs.

        Raises:
            ConfigError: as `of`.
        """
        schedule = self._plan.schedule(name)
        inbox = Path(schedule.inbox)
        return Context(
            schedule=schedule,
            settings=self._plan.settings,
            inbox=FolderInbox(inbox, schedule.name),
            shelf=FolderShelf(inbox / OWN / schedule.name),
            aws=_for_tenant(self._aws(), schedule),
            clock=self._clock,
            secret=producer_secret(self._plan.config),
            progress=self._progress,
        )


def _make_aws(config: Config) -> Aws:
    sns: Any = Connector(config, config.resources.profiles.reader).client("sns")
    return Aws(producer_clients(config), config.producer(), reader_s3(config), reader_kms(config), config.reader(), sns)


def _for_tenant(aws: Aws, schedule: Schedule) -> Aws:
    if schedule.tenant is None:
        return aws
    sealing: ProducerSettings = replace(aws.producer_settings, tenant=schedule.tenant)
    reading: ReaderSettings = replace(aws.reader_settings, tenant=schedule.tenant)
    return replace(aws, producer_settings=sealing, reader_settings=reading)
