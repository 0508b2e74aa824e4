"""Forgets old nights: the records of runs closed long ago. Inputs, answers and reports stay where they are."""

import logging
from typing import Final

from sealbatch.nightly.context import Context
from sealbatch.nightly.records import MANUAL, PRUNED, all_runs, items, run_moment

MOST: Final = 5
"""Runs that one tick forgets at most: a tick must not keep the night waiting."""

_log = logging.getLogger("sealbatch.nightly")


def prune(context: Context) -> None:
    """Remove the records of runs that are closed and older than `keep_runs`.

    Raises:
        OSError: the records cannot be read or removed.
    """
    limit = context.now() - context.settings.keep_runs
    old = [run for run in all_runs(context.shelf) if run_moment(run) <= limit]
    closed = [run for run in old if context.shelf.get(f"runs/{run}/closed") is not None]
    for run in closed[:MOST]:
        _remember(context, run)
        for records in items(context.shelf, run):
            context.shelf.remove(f"taken/{records.item}")
        context.shelf.remove_all(f"runs/{run}")
        _log.info("run forgotten schedule=%s run=%s", context.schedule.name, run)


def _remember(context: Context, run: str) -> None:
    before = context.runs.pruned_until()
    if not run.endswith(MANUAL) and (before is None or before < run_moment(run)):
        context.shelf.put(PRUNED, context.dated(until=run_moment(run)))
