"""Puts a schedule's context together from the configuration: the one place that does."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from producer.clients import Clients
from producer.settings import ProducerSettings
from results_consumer.settings import ReaderSettings
from sealbatch.aws.clients import Connector, producer_clients, reader_kms, reader_s3
from sealbatch.config import Config
from sealbatch.nightly.clock import Clock
from sealbatch.nightly.context import Aws, Context
from sealbatch.nightly.inbox import FolderInbox, Inbox
from sealbatch.nightly.night import Night
from sealbatch.nightly.plan import Plan
from sealbatch.nightly.progress import Step
from sealbatch.nightly.s3_inbox import S3Inbox
from sealbatch.nightly.schedule import Schedule
from sealbatch.nightly.shelf import Shelf
from sealbatch.secret import producer_secret


class Nights:
    """The nights of all schedules of a plan. Clients are made when they are first needed, once."""

    def __init__(self, plan: Plan, clock: Clock, told: Callable[[Step], None] = lambda _: None) -> None:
        self.plan = plan
        self.clock = clock
        self._told = told
        self._producer = cache(lambda: producer_clients(plan.config))
        self._aws = cache(lambda: _make_aws(plan.config, self._producer()))

    def of(self, name: str) -> Night:
        """The nights of one schedule.

        Raises:
            ConfigError: there is no such schedule, or something is missing or wrong in the configuration.
        """
        return Night(self.context(name))

    def waiting(self, schedule: Schedule) -> int:
        """How many files lie in its inbox.

        Raises:
            ConfigError: something is missing or wrong in the configuration.
            OSError, ServiceError: the inbox does not answer.
        """
        return len(_inbox(schedule, self._producer, schedule.tenant or "").waiting())

    def context(self, name: str) -> Context:
        """What the work on one schedule needs.

        Raises:
            ConfigError: as `of`.
        """
        schedule = self.plan.schedule(name)
        aws = _for_tenant(self._aws(), schedule)
        return Context(
            schedule=schedule,
            settings=self.plan.settings,
            inbox=_inbox(schedule, self._producer, aws.producer_settings.tenant),
            shelf=Shelf(schedule.own),
            aws=aws,
            clock=self.clock,
            secret=producer_secret(self.plan.config),
            told=self._told,
        )


def _inbox(schedule: Schedule, producer: Callable[[], Clients], tenant: str) -> Inbox:
    """The schedule's inbox; one in a folder needs no clients."""
    if not schedule.in_s3:
        return FolderInbox(Path(schedule.inbox), schedule.name)
    clients = producer()
    return S3Inbox(clients.s3, clients.kms, schedule, tenant)


def _make_aws(config: Config, producer: Clients) -> Aws:
    sns: Any = Connector(config, config.resources.profiles.reader).client("sns")
    return Aws(producer, config.producer(), reader_s3(config), reader_kms(config), config.reader(), sns)


def _for_tenant(aws: Aws, schedule: Schedule) -> Aws:
    if schedule.tenant is None:
        return aws
    sealing: ProducerSettings = replace(aws.producer_settings, tenant=schedule.tenant)
    reading: ReaderSettings = replace(aws.reader_settings, tenant=schedule.tenant)
    return replace(aws, producer_settings=sealing, reader_settings=reading)
