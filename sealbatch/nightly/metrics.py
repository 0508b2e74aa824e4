"""What the records say of the nights, for Prometheus. No label names a tenant, a job, a file or anything of content."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sealbatch.nightly.clock import Clock
from sealbatch.nightly.records import FIRST_SEEN, PAUSED, all_runs, items, open_runs, run_moment
from sealbatch.nightly.runs import Runs
from sealbatch.nightly.schedule import Schedule
from sealbatch.nightly.shelf import Record, Shelf
from sealbatch.nightly.summary import OUTCOMES

_FIGURES: Final = {
    "readable": ("Its folder and records can be read", ()),
    "paused": ("No run begins until somebody resumes it", ()),
    "due_timestamp_seconds": ("The first firing that began no run and should have; 0 without one", ()),
    "open_timestamp_seconds": ("The firing of the oldest run that is not over; 0 without one", ()),
    "open_files": ("Files of runs that are not over", ("state",)),
    "finished_timestamp_seconds": ("When the last run was over; 0 before the first", ()),
    "last_files": ("Files of the last run that is over", ("state",)),
    "last_records": ("Records of the last run that is over", ("outcome",)),
}

Figure = tuple[str, tuple[str, ...], float]


class NightCollector(Collector):
    """The schedules' figures at the time of a scrape: as many series as are configured."""

    def __init__(self, schedules: Sequence[Schedule], clock: Clock) -> None:
        self._runs = [Runs(schedule, Shelf(schedule.own), clock) for schedule in schedules]
        self._begun = clock.now()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """A family for each figure; of a schedule whose records cannot be read there is `readable` alone."""
        families = {
            name: GaugeMetricFamily(f"sealbatch_schedule_{name}", text, labels=["schedule", *labels])
            for name, (text, labels) in _FIGURES.items()
        }
        for runs in self._runs:
            try:
                figures = list(self._figures(runs))
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                # A damaged record too: what is said of the beat and of the other schedules must not go with it.
                figures = [("readable", (), 0.0)]
            for name, labels, value in figures:
                families[name].add_metric([runs.schedule.name, *labels], value)
        return families.values()

    def _figures(self, runs: Runs) -> Iterator[Figure]:
        shelf, now = runs.shelf, runs.clock.now()
        # What is not mounted looks like what is new.
        next(Path(runs.schedule.work or runs.schedule.inbox).iterdir(), None)
        yield "readable", (), 1.0
        yield "paused", (), float(shelf.get(PAUSED) is not None)
        seen = shelf.get(FIRST_SEEN)
        since = datetime.fromisoformat(seen["at"]) if seen else self._begun
        yield "due_timestamp_seconds", (), _stamp(runs, next(runs.missed(since, now), None))
        opened = open_runs(shelf)
        yield "open_timestamp_seconds", (), _stamp(runs, min(map(run_moment, opened), default=None))
        states = Counter(one.state() for run in opened for one in items(shelf, run) if one.get("claim") is not None)
        for state in ("waiting", "answering", "stuck"):
            yield "open_files", (state,), states[state]
        yield from _last(runs)


def _last(runs: Runs) -> Iterator[Figure]:
    """What the last run came to that is over."""
    shelf = runs.shelf
    over = ((run, closed) for run in reversed(all_runs(shelf)) if (closed := shelf.get(f"runs/{run}/closed")))
    run, closed = next(over, ("", None))
    yield "finished_timestamp_seconds", (), _stamp(runs, datetime.fromisoformat(closed["at"]) if closed else None)
    files, records = Counter[str](), Counter[str]()
    if run:
        files["left"] = int((shelf.get(f"runs/{run}/left") or {}).get("files", 0))
        for one in items(shelf, run):
            files[one.state()] += 1
            delivered: Record = one.get("delivered") or {}
            records.update({outcome: delivered.get(outcome, 0) for outcome in OUTCOMES})
    for state in ("delivered", "failed", "left"):
        yield "last_files", (state,), files[state]
    for outcome in OUTCOMES:
        yield "last_records", (outcome,), records[outcome]


def _stamp(runs: Runs, moment: datetime | None) -> float:
    """Seconds since 1970 by the machine's clock, which is Prometheus's too."""
    return 0.0 if moment is None else runs.clock.to_machine(moment).timestamp()
