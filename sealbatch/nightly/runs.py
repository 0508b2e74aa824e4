"""When runs of a schedule begin and end picking up: for all of it neither AWS nor Redis is asked."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sealbatch.nightly.clock import Clock
from sealbatch.nightly.records import MANUAL, PAUSED, PRUNED, RESUMED, all_runs, as_record, run_id, run_moment
from sealbatch.nightly.schedule import Schedule
from sealbatch.nightly.shelf import Shelf

_log: Final = logging.getLogger("sealbatch.nightly")


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one schedule, as its shelf remembers them.

    Every method raises OSError if the records cannot be read or written.
    """

    schedule: Schedule
    shelf: Shelf
    clock: Clock

    def begin(self, firing: datetime, *, manual: bool = False) -> str:
        """Begin the run of `firing`, unless it began before; its id."""
        run, now = run_id(firing, manual=manual), self.clock.now()
        self.shelf.put(f"open/{run}", {})
        if self.shelf.put_new(f"runs/{run}/run", as_record(at=now, opened_at=now, firing=firing)):
            _log.info("run begins schedule=%s run=%s", self.schedule.name, run)
        elif self.shelf.get(f"runs/{run}/closed") is not None:
            self.shelf.remove(f"open/{run}")
        return run

    def missed(self, since: datetime, now: datetime) -> Iterator[datetime]:
        """The firings between the two that began no run and still may; none while the schedule is paused."""
        if self.shelf.get(PAUSED) is not None:
            return
        marks = [since]
        if (resumed := self.shelf.get(RESUMED)) is not None:
            marks.append(datetime.fromisoformat(resumed["at"]))
        if (forgotten := self.pruned_until()) is not None and forgotten <= now:
            marks.append(forgotten)
        # Only runs that have come: one that began while the clock was ahead must not hide those before it.
        begun = {run_moment(run) for run in all_runs(self.shelf) if not run.endswith(MANUAL)}
        marks += [moment for moment in begun if moment <= now]
        for firing in self.schedule.when.between(max(marks), now):
            if firing not in begun:
                yield firing

    def opened(self, run: str) -> datetime:
        """When a run began, which is later than its firing if nobody was there to notice it in time."""
        record = self.shelf.get(f"runs/{run}/run")
        return datetime.fromisoformat(record["opened_at"]) if record else run_moment(run)

    def picks_up_until(self, run: str) -> datetime:
        """Until when files become the run's."""
        return max(run_moment(run), self.opened(run)) + self.schedule.pick_up_for

    def pruned_until(self) -> datetime | None:
        """The last firing whose run was forgotten: neither it nor one before it is to begin again."""
        record = self.shelf.get(PRUNED)
        return None if record is None else datetime.fromisoformat(record["until"])

    def pause(self) -> bool:
        """Begin no runs until `resume`; False if they are paused already. What has begun goes on."""
        return self.shelf.put_new(PAUSED, as_record(at=self.clock.now()))

    def resume(self) -> bool:
        """Begin runs again, from now on; False if they were not paused. What fired meanwhile is not caught up."""
        if self.shelf.get(PAUSED) is None:
            return False
        self.shelf.put(RESUMED, as_record(at=self.clock.now()))
        self.shelf.remove(PAUSED)
        return True
