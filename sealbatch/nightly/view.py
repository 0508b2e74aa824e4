"""What `sealbatch top` shows, gathered from the records, Redis, the queue and the bucket: each as far as it answers."""

import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http.client import HTTPException
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import RedisError

from sealbatch.nightly.assembly import Nights
from sealbatch.nightly.progress import RedisProgress, Step, connect
from sealbatch.nightly.records import PAUSED, ItemRecords, all_runs, items, open_runs
from sealbatch.nightly.schedule import Schedule
from sealbatch.nightly.shelf import FolderShelf


@dataclass(frozen=True, slots=True)
class FileView:
    """One file of an open run: `done` of `total` of its phase, None where nobody says."""

    schedule: str
    run: str
    item: str
    phase: str
    done: int | None
    total: int | None
    trouble: str


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """One schedule: its next firing, and what lies about."""

    name: str
    next: datetime | None
    state: str
    waiting: int | None
    open_runs: int
    last_run: str


@dataclass(frozen=True, slots=True)
class BridgeView:
    """One bridge by its own metrics: None where it does not answer."""

    address: str
    enclaves: int | None
    in_flight: int | None
    answered: int | None
    failed: int | None
    retries: int | None


@dataclass(frozen=True, slots=True)
class View:
    """One look. Numbers are None where the one to ask does not answer."""

    at: datetime
    schedules: tuple[ScheduleView, ...]
    files: tuple[FileView, ...]
    redis: bool
    tasks: int | None
    beat: bool | None
    queued: int | None
    in_flight: int | None
    bridges: tuple[BridgeView, ...]


def look(nights: Nights, sqs: Any, bridges: Sequence[str] = ()) -> View:
    """Look at everything once. What does not answer is shown as unknown, and never an error."""
    with connect(nights.plan.settings.redis_url) as redis:
        return _look(nights, sqs, bridges, redis)


def _look(nights: Nights, sqs: Any, bridges: Sequence[str], redis: Any) -> View:
    plan, now = nights.plan, nights.clock.now()
    steps = _ask(lambda: {(s.schedule, s.run, s.item): s for s in RedisProgress(redis).all()}, RedisError, OSError)
    schedules, files = [], []
    for schedule in plan.schedules:
        shelf = FolderShelf(schedule.own)
        waiting = _ask(partial(nights.waiting, schedule), Exception)
        schedules.append(_schedule(schedule, shelf, now, waiting))
        for run in open_runs(shelf):
            files += [
                _file(schedule.name, records, (steps or {}).get((schedule.name, run, records.item)))
                for records in items(shelf, run)
                if records.get("finished") is None and records.get("claim") is not None
            ]
    counts = _queue(sqs, plan.config.resources.queue_url)
    return View(
        at=now,
        schedules=tuple(schedules),
        files=tuple(files),
        redis=steps is not None,
        tasks=_ask(lambda: int(redis.llen("sealbatch:sealbatch")), RedisError, OSError),
        beat=_ask(lambda: bool(redis.exists("sealbatch:beat")), RedisError, OSError),
        queued=counts[0],
        in_flight=counts[1],
        bridges=tuple(map(_bridge, bridges)),
    )


def _schedule(schedule: Schedule, shelf: FolderShelf, now: datetime, waiting: int | None) -> ScheduleView:
    runs = all_runs(shelf)
    return ScheduleView(
        name=schedule.name,
        next=next(schedule.when.after(now), None),
        state="paused" if shelf.get(PAUSED) else "on",
        waiting=waiting,
        open_runs=len(open_runs(shelf)),
        last_run=runs[-1] if runs else "",
    )


def _file(schedule: str, records: ItemRecords, step: Step | None) -> FileView:
    attempts = records.attempts()
    ticket = records.get("ticket")
    phase = "answering" if ticket is not None else "sealing"
    total = None if ticket is None else int(ticket["records"])
    done = None
    if step is not None:
        phase, done, total = step.phase, step.done, step.total or total
    trouble = f"{attempts.code} ({attempts.failures} x)" if attempts.failures else ""
    return FileView(schedule, records.run, records.item, phase, done, total, trouble)


def _bridge(address: str) -> BridgeView:
    text = _ask(lambda: _get(f"http://{address}/metrics"), OSError, HTTPException)
    if text is None:
        return BridgeView(address, None, None, None, None, None)
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue  # a time, beside each counter
            outcome = sample.labels.get("outcome")
            good = outcome == "answered"
            name = "answered" if good else "failed" if outcome else sample.name.removeprefix("sealbatch_")
            counts[name] += int(sample.value)
    names = ("enclaves", "in_flight", "answered", "failed", "retries_total")
    return BridgeView(address, *(counts[name] for name in names))


def _get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=2) as reply:  # noqa: S310 - http, by its first word
        return str(reply.read(1 << 20), "utf-8", "replace")


def _queue(sqs: Any, url: str | None) -> tuple[int | None, int | None]:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    reply = _ask(lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"], Exception)
    return (None, None) if reply is None else (int(reply[names[0]]), int(reply[names[1]]))


def _ask(question: Callable[[], Any], *errors: type[Exception]) -> Any:
    """The answer, or None."""
    try:
        return question()
    except errors:
        return None
