"""What `sealbatch top` shows, gathered from the records, Redis, the queue and the bucket: each as far as it answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis.exceptions import RedisError

from sealbatch.nightly.assembly import Nights
from sealbatch.nightly.bridge_view import BridgeView, ask_bridge
from sealbatch.nightly.progress import RedisProgress, Step, connect
from sealbatch.nightly.records import PAUSED, ItemRecords, all_runs, items, open_runs
from sealbatch.nightly.redis_names import BEAT, TASKS
from sealbatch.nightly.schedule import Schedule
from sealbatch.nightly.shelf import Shelf


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
    """One schedule: its next firing, files that wait in its inbox, and of those in open runs how many are finished."""

    name: str
    next: datetime | None
    state: str
    waiting: int | None
    open_runs: int
    last_run: str
    files: int
    finished: int


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
    plan = nights.plan
    steps = _ask(lambda: {(s.schedule, s.run, s.item): s for s in RedisProgress(redis).all()}, RedisError, OSError)
    files = [
        _file(schedule.name, records, (steps or {}).get((schedule.name, records.run, records.item)))
        for schedule in plan.schedules
        for records in _claimed(Shelf(schedule.own))
        if records.get("finished") is None
    ]
    counts = _queue(sqs, plan.config.resources.queue_url)
    return View(
        at=nights.clock.now(),
        schedules=tuple(schedule_view(nights, schedule) for schedule in plan.schedules),
        files=tuple(files),
        redis=steps is not None,
        tasks=_ask(lambda: int(redis.llen(TASKS)), RedisError, OSError),
        beat=_ask(lambda: bool(redis.exists(BEAT)), RedisError, OSError),
        queued=counts[0],
        in_flight=counts[1],
        bridges=tuple(map(ask_bridge, bridges)),
    )


def schedule_view(nights: Nights, schedule: Schedule) -> ScheduleView:
    """One schedule, as its records and its inbox say.

    Raises:
        OSError: the records cannot be read.
    """
    shelf = Shelf(schedule.own)
    runs, claimed = all_runs(shelf), _claimed(shelf)
    return ScheduleView(
        name=schedule.name,
        next=next(schedule.when.after(nights.clock.now()), None),
        state="paused" if shelf.get(PAUSED) else "on",
        waiting=_ask(lambda: nights.waiting(schedule), Exception),
        open_runs=len(open_runs(shelf)),
        last_run=runs[-1] if runs else "",
        files=len(claimed),
        finished=sum(records.get("finished") is not None for records in claimed),
    )


def _claimed(shelf: Shelf) -> list[ItemRecords]:
    """The files of open runs."""
    return [one for run in open_runs(shelf) for one in items(shelf, run) if one.get("claim") is not None]


def _file(schedule: str, records: ItemRecords, step: Step | None) -> FileView:
    attempts = records.attempts()
    ticket = records.get("ticket")
    phase = "answering" if ticket is not None else "sealing"
    total = None if ticket is None else int(ticket["records"])
    done = None
    if step is not None:
        phase, done, total = step.phase, step.done, step.total or total
    trouble = attempts.trouble
    if trouble and attempts.next_at:
        trouble += f", next {datetime.fromisoformat(attempts.next_at):%H:%M} UTC"
    return FileView(schedule, records.run, records.item, phase, done, total, trouble)


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
