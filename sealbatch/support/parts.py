"""What a bundle is made of: each part is collected on its own, and one that fails says so and keeps no other away."""

import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from results_consumer.errors import IntegrityError
from sealbatch.config import Config, ConfigError
from sealbatch.explain import explain
from sealbatch.extras import need
from sealbatch.paths import dev_folder
from sealbatch.support import endpoint, log_lines
from sealbatch.support.configuration import shown
from sealbatch.support.secrets_here import environment_names
from sealbatch.tickets import Kept
from wire.address import Address
from wire.ticket import Ticket

JOBS: Final = 50
"""The newest jobs that are looked at."""
_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the bundle: what is in it, and how it is made."""

    name: str
    about: str
    make: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Case:
    """What there is to look at. `config` is None if it cannot be read, and `trouble` says why."""

    config: Config | None
    trouble: str
    kept: Sequence[Kept]
    health: str
    enclaves: Sequence[Address]
    since: datetime
    units: Sequence[str] = log_lines.UNITS

    def parts(self) -> Iterator[Part]:
        """In the order in which they are collected."""
        yield Part("versions.json", "versions of sealbatch, Python, packages and kernel", lambda: _json(versions()))
        yield Part(
            "configuration.json",
            "the configuration: secrets, addresses and paths are said to be set",
            self._configuration,
        )
        yield Part(
            "environment.txt",
            "names of the variables that steer it, and no values",
            lambda: _lines(environment_names()),
        )
        yield Part("doctor.jsonl", "what `sealbatch doctor` finds, with the rights that are here", self._doctor)
        yield Part("health.json", "the bridge's /healthz", lambda: _json(_asked(endpoint.health, self.health)))
        yield Part("metrics.txt", "the bridge's /metrics", lambda: _asked(endpoint.metrics, self.health))
        yield Part("queues.json", "how much lies in queue and dead-letter queue", self._queues)
        yield Part(
            "jobs.jsonl",
            f"ids, states and counts of the newest {JOBS} jobs of this user; no tickets, no names",
            self._jobs,
        )
        yield Part("nights.json", "schedules, with counts of runs and files", self._nights)
        yield Part("journal.txt", "lines of our units that have the form of our log", self._journal)
        for path in sorted((dev_folder() / "log").glob("*.log")):
            yield Part(
                f"development-{path.name}",
                "lines of our own, of the development stack",
                partial(log_lines.of_file, path),
            )

    def _needed(self) -> Config:
        if self.config is None:
            raise ConfigError(self.trouble)
        return self.config

    def _configuration(self) -> str:
        return _json(shown(self._needed()))

    def _doctor(self) -> str:
        need("reader")
        from sealbatch.doctor.examination import Examination

        look = Examination(self._needed(), enclaves=self.enclaves)
        return "".join(json.dumps(finding.as_row(), ensure_ascii=False) + "\n" for finding in look.findings())

    def _queues(self) -> str:
        config = self._needed()
        resources = config.resources
        named = {"queue": resources.queue_url, "dead_letters": resources.dead_letter_url}
        urls = {name: url for name, url in named.items() if url is not None}
        if not urls:
            raise ConfigError(f"{config.source}: queue_url missing")
        need("reader")
        from aws_errors.mapped import mapped
        from sealbatch.aws.clients import Connector
        from sealbatch.doctor.examination import PATIENCE

        sqs = Connector(config, resources.profiles.bridge, patience=PATIENCE).client("sqs")
        found = {}
        for name, url in urls.items():
            with mapped("SQS", "GetQueueAttributes", name):
                told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))["Attributes"]
            found[name] = {count: int(told[count]) for count in _COUNTS if count in told}
        return _json(found)

    def _jobs(self) -> str:
        config = self._needed()
        need("reader")
        from results_consumer.status import job_status
        from sealbatch.aws.clients import reader_s3

        s3, settings = reader_s3(config), config.reader()

        def row(kept: Kept) -> dict[str, Any]:
            try:
                status = job_status(s3, settings, Ticket.parse(kept.ticket))
            except IntegrityError as error:  # purged, or of another stack
                return {
                    "job": kept.job,
                    "records": kept.records,
                    "created": kept.created,
                    "error": error.code,
                }
            told = asdict(status)
            told["notice"] = None if status.notice is None else status.notice.code
            del told["name"]
            return told

        return "".join(json.dumps(row(kept)) + "\n" for kept in list(self.kept)[::-1][:JOBS])

    def _nights(self) -> str:
        config = self._needed()
        if not config.resources.schedules:
            return _json([])
        need("nightly")
        from sealbatch.nightly.assembly import Nights
        from sealbatch.nightly.clock import entry_clock
        from sealbatch.nightly.plan import read_plan
        from sealbatch.nightly.view import schedule_view

        nights = Nights(read_plan(config), entry_clock())
        return _json([asdict(schedule_view(nights, schedule)) for schedule in nights.plan.schedules])

    def _journal(self) -> str:
        try:
            return log_lines.of_units(self.units, self.since)
        except log_lines.NoJournalError as error:
            raise ConfigError(str(error)) from None


def versions() -> dict[str, Any]:
    """What runs here; of packages those that an extra of ours may install."""
    named = {_NAME.match(requirement) for requirement in importlib.metadata.requires("sealbatch") or ()}
    packages = {}
    for name in sorted(match[0] for match in named if match is not None):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    native = Path(__file__).resolve().parents[2] / "enclave_worker" / "native" / "libbloom.so"
    return {
        "sealbatch": importlib.metadata.version("sealbatch"),
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "processors": os.cpu_count(),
        "compiled_engine": native.is_file(),
        "packages": packages,
    }


def collect(part: Part) -> tuple[str, str]:
    """Its text, and why there is none: a part that cannot be had is no reason to have no bundle."""
    try:
        return part.make(), ""
    except Exception as error:  # noqa: BLE001 - whatever is wrong here may be what the bundle is wanted for
        return "", explain(error)[1]


def _asked(page: Callable[[str], Any], address: str) -> Any:
    try:
        return page(address)
    except (OSError, ValueError):
        raise ConfigError(f"no bridge answers at {address}; --health names another address") from None


def _json(value: Mapping[str, Any] | list[Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"


def _lines(values: Iterable[str]) -> str:
    return "".join(f"{value}\n" for value in values)
