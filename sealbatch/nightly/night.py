"""Watches over one schedule: begins runs when they are due, takes files out of the inbox, says what is to be done.

A tick may come twice, late, or from several machines at once. Runs begin by a record that is written once; of several
firings that nobody noticed in time, the last begins a run, which takes all that waits. If the clock jumps forwards,
a run begins early; when that time truly comes, the run takes what has come since. If it jumps backwards, nothing
begins twice.
"""

import logging
from datetime import datetime
from typing import Final

from sealbatch.nightly.closing import close
from sealbatch.nightly.context import Context
from sealbatch.nightly.fanout import FanOut
from sealbatch.nightly.faults import fault_of
from sealbatch.nightly.prune import prune
from sealbatch.nightly.records import FIRST_SEEN, ItemRecords, all_runs, items, open_runs, run_moment
from sealbatch.nightly.todo import CLOSE, STEP, Todo
from sealbatch.nightly.work import ItemWork

ATTENTION: Final = 6
"""Failures in a row after which a person is told: by then some forty minutes have passed."""

_log: Final = logging.getLogger("sealbatch.nightly")


class Night:
    """One schedule's nights."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._shelf = context.shelf

    def tick(self) -> list[Todo]:
        """Begin what is due, take what is ready; all work that waits for a worker now.

        Raises:
            OSError: inbox or records cannot be read or written.
        """
        now = self._context.now()
        firing = self._due(now)
        if firing is not None:
            self._context.runs.begin(firing)
        self._take(now)
        prune(self._context)
        return [todo for run in open_runs(self._shelf) for todo in self._open_work(run, now)]

    def step(self, run: str, item: str) -> list[Todo]:
        """Work on a file."""
        return ItemWork(self._context, run, item).step()

    def range(self, run: str, item: str, number: int) -> list[Todo]:
        """Work on a range of a large file; a failure is written down with it."""
        fan_out = FanOut(self._context, ItemRecords(self._shelf, run, item))
        try:
            return fan_out.work(number)
        except Exception as error:  # noqa: BLE001 - each failure is this range's alone
            fault = fault_of(error)
            _log.warning(
                "range failed schedule=%s run=%s item=%s range=%d code=%s: %s; only this range is tried again",
                self._context.schedule.name,
                run,
                item,
                number,
                fault.code,
                fault.text,
            )
            fan_out.failed(number, fault.code)
            return []

    def close(self, run: str) -> None:
        """Report and tell, if all is done."""
        close(self._context, run)

    def _due(self, now: datetime) -> datetime | None:
        """The last firing that has come and began no run."""
        first = self._shelf.get(FIRST_SEEN)
        if first is None:
            self._shelf.put_new(FIRST_SEEN, self._context.dated())
            return None
        return max(self._context.runs.missed(datetime.fromisoformat(first["at"]), now), default=None)

    def _take(self, now: datetime) -> None:
        """Give what is ready in the inbox to the newest run that still picks up."""
        picking = [
            run
            for run in all_runs(self._shelf)[-3:]
            if run_moment(run) <= now <= self._context.runs.picks_up_until(run)
        ]
        if not picking:
            return
        run = picking[-1]
        for name in self._context.inbox.ready(now, self._context.schedule.settle):
            taken = self._context.inbox.take(name, run)
            if taken is not None:
                self._shelf.remove(f"runs/{taken[0]}/closed")
                self._shelf.put(f"open/{taken[0]}", {})
                _log.info("file taken schedule=%s run=%s item=%s", self._context.schedule.name, *taken)
        self._note_left(run, len(self._context.inbox.waiting()))

    def _note_left(self, run: str, count: int) -> None:
        """Remember how many files had not settled at the last look."""
        before = self._shelf.get(f"runs/{run}/left")
        if count != (before or {}).get("files", 0):
            self._shelf.put(f"runs/{run}/left", {"files": count})

    def _open_work(self, run: str, now: datetime) -> list[Todo]:
        name = self._context.schedule.name
        unfinished = [records for records in items(self._shelf, run) if not self._settled(records)]
        attempts = [records.attempts() for records in unfinished]
        todos = [
            Todo(STEP, (name, run, records.item))
            for records, attempt in zip(unfinished, attempts, strict=True)
            if attempt.due(now)
        ]
        stuck = any(attempt.failures >= ATTENTION for attempt in attempts)
        over = not unfinished and now > self._context.runs.picks_up_until(run)
        if over or (stuck and self._shelf.get(f"runs/{run}/attention") is None):
            todos.append(Todo(CLOSE, (name, run)))
        return todos

    def _settled(self, records: ItemRecords) -> bool:
        """Finished, or the empty place of a file that somebody else took."""
        if records.get("finished") is not None:
            return True
        return records.get("claim") is None and self._context.inbox.find(records.run, records.item) is None
