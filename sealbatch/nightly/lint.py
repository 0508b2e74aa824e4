"""What is doubtful in schedules that are valid: each with the line that one would change."""

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sealbatch.doctor.finding import Status
from sealbatch.doctor.host import check_redis
from sealbatch.nightly.plan import ERROR, WARNING, Finding, Plan
from sealbatch.nightly.schedule import Schedule, in_s3

LOOKED_AT: Final = 400
"""Firings, from now on, whose clock changes and distances are looked at: more than a year of nights."""
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def lint(plan: Plan, now: datetime) -> list[Finding]:
    """Everything that is wrong or doubtful, by line; what is asked of disks and Redis is asked of this machine's."""
    found = [*_lint_redis(plan)]
    for at, schedule in enumerate(plan.schedules):
        for setting, level, message in _lint_schedule(plan, schedule, now):
            line = plan.lines.line(("schedules", at, setting))
            found.append(Finding(line, level, schedule.name, f"{setting}: {message}"))
    return sorted(found, key=lambda finding: (finding.line, finding.message))


def _lint_schedule(plan: Plan, schedule: Schedule, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Setting, level and message."""
    yield from _lint_folders(schedule)
    for other in plan.schedules:
        if other is not schedule and other.inbox == schedule.inbox:
            yield "inbox", ERROR, f"is also the inbox of {other.name}; which of them gets a file would be chance"
    firings = list(islice(schedule.when.after(now), LOOKED_AT))
    shortest = min((later - sooner for sooner, later in pairwise(firings)), default=None)
    if shortest is not None and schedule.deadline is not None and schedule.deadline > shortest:
        yield "deadline", WARNING, f"is longer than the {shortest} between two firings; runs will overlap"
    if shortest is not None and schedule.pick_up_for >= shortest:
        yield "pick_up_for", WARNING, f"is not shorter than the {shortest} between two firings"
    for moment in _moved(schedule, firings):
        local = moment.astimezone(schedule.when.zone)
        yield (
            "cron",
            WARNING,
            f"the clock is changed in the night of {local:%Y-%m-%d}; it fires then at {local:%H:%M %Z}",
        )
    yield from _lint_tell(schedule)


def _lint_tell(schedule: Schedule) -> Iterator[tuple[str, str, str]]:
    for whom in schedule.tell:
        address = urlsplit(whom.webhook or "")
        if address.scheme == "http" and address.hostname not in _LOCAL:
            yield "tell", WARNING, "a webhook without TLS; whoever listens learns ids and counts"
        if whom.command is not None and shutil.which(whom.command[0]) is None:
            yield "tell", ERROR, f"the command {whom.command[0]} is no program that this user may run"
    if not schedule.tell:
        yield "tell", WARNING, "nobody is told"


def _lint_folders(schedule: Schedule) -> Iterator[tuple[str, str, str]]:
    for setting, value in (("inbox", schedule.inbox), ("work", schedule.work), ("answers", schedule.answers)):
        if value is None or in_s3(value):
            continue
        path = Path(value)
        if not path.is_dir():
            yield setting, ERROR, f"{value} is no directory"
            continue
        if not os.access(path, os.W_OK | os.X_OK):
            yield setting, ERROR, f"{value} may not be written by this user"
        if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            yield setting, WARNING, f"{value} is open to all users of this machine; chmod o-rwx it"
    if not schedule.in_s3 and Path(schedule.answers).is_relative_to(schedule.inbox):
        yield "answers", ERROR, "lies in the inbox, where answers would be taken for questions"


def _moved(schedule: Schedule, firings: list[datetime]) -> Iterator[datetime]:
    """Firings of fixed times that do not come at the same local time as usual, because the clock is changed."""
    minute, hour = schedule.cron.split()[:2]
    if not (minute.isdecimal() and hour.isdecimal()):
        return
    for firing in firings:
        local = firing.astimezone(schedule.when.zone)
        twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        if twice or (local.hour, local.minute) != (int(hour), int(minute)):
            yield firing


def _lint_redis(plan: Plan) -> Iterator[Finding]:
    line = plan.lines.line(("nightly", "redis_url"))
    for found in check_redis(plan.settings.redis_url):
        if found.status is not Status.OK:
            # Nothing is wrong in the file: another Redis, or the same one tomorrow, may do.
            yield Finding(line, WARNING, "", f"redis_url: {found.check}: {found.found}; {found.mend}")
