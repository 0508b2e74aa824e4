"""The end of a run: the morning report at the target, and whoever is to be told is told."""

import json
import logging
from datetime import timedelta
from typing import Final

from aws_errors.service_error import ServiceError
from results_consumer.errors import ReaderError
from sealbatch.nightly.context import Context
from sealbatch.nightly.faults import fault_of
from sealbatch.nightly.records import pause_after
from sealbatch.nightly.report import render
from sealbatch.nightly.summary import RunSummary, summarize
from sealbatch.nightly.tell import TellError, event, tell

FINISHED: Final = "run.finished"
ATTENTION: Final = "run.needs_attention"
GIVE_UP: Final = timedelta(hours=24)
"""How long a run tries to tell somebody who does not listen."""

_log = logging.getLogger("sealbatch.nightly")


def close(context: Context, run: str) -> None:
    """Report on a run and tell of it; close it if it is finished, its report is at the target and all were told.

    Raises:
        ReaderError, ServiceError: the report of a finished run cannot be written; all were told.
        OSError: that, or the records cannot be written.
    """
    if context.shelf.get(f"runs/{run}/closed") is not None:
        context.shelf.remove(f"open/{run}")
        return
    notes = context.shelf.get(f"runs/{run}/telling") or {}
    if notes.get("next_at", "") > context.now().isoformat():
        return
    summary = summarize(context, run)
    unwritten = _try_report(context, summary)
    kind = FINISHED if summary.finished() else ATTENTION
    untold = _tell_all(context, summary, kind)
    if not untold and kind == ATTENTION:
        context.shelf.put_new(f"runs/{run}/attention", context.dated())
        return
    if untold and not _gives_up(context, run, notes, untold):
        return
    if kind == FINISHED:
        if unwritten is not None:
            raise unwritten
        context.shelf.put_new(f"runs/{run}/closed", context.dated(files=len(summary.files)))
        context.shelf.remove(f"open/{run}")
        _log.info("run closed schedule=%s run=%s files=%d", context.schedule.name, run, len(summary.files))


def write_report(context: Context, summary: RunSummary) -> None:
    """The report as a page for people, and as JSON, at the target.

    Raises:
        ReaderError, ServiceError, OSError: the target cannot be written.
    """
    target = context.target(summary.run)
    data = json.dumps(event(summary, FINISHED), indent=2) + "\n"
    for name, text in (("report.html", render(summary, context.schedule.time_zone)), ("report.json", data)):
        with target.sink(name) as sink:
            sink.write(text.encode(errors="replace"))
            sink.commit()


def _try_report(context: Context, summary: RunSummary) -> Exception | None:
    """Write the report; why it could not be."""
    try:
        write_report(context, summary)
    except (ReaderError, ServiceError, OSError) as error:
        # The target may be the very thing that a person is to be told of.
        code = fault_of(error).code
        _log.warning(
            "report not written schedule=%s run=%s code=%s: the run stays open until `answers` can be written",
            summary.schedule,
            summary.run,
            code,
        )
        return error
    return None


def _tell_all(context: Context, summary: RunSummary, kind: str) -> list[str]:
    """Tell all who were not told yet; what kind of those could not be."""
    untold = []
    for at, whom in enumerate(context.schedule.tell):
        mark = f"runs/{summary.run}/told/{kind}-{len(summary.files)}-{at}"
        if context.shelf.get(mark) is not None:
            continue
        try:
            tell(whom, event(summary, kind), context.aws.sns)
        except TellError as error:
            _log.warning(
                "not told schedule=%s run=%s who=%s: %s; tried again later",
                summary.schedule,
                summary.run,
                whom.kind,
                error,
            )
            untold.append(f"{whom.kind}: {error}")
        else:
            context.shelf.put_new(mark, context.dated())
    return untold


def _gives_up(context: Context, run: str, notes: dict[str, str | int], untold: list[str]) -> bool:
    """Try again later, with growing pauses, for a day; whether that is over."""
    since = str(notes.get("since") or context.now().isoformat())
    failures = int(notes.get("failures", 0))
    record = {"since": since, "failures": failures + 1, "next_at": context.later(pause_after(failures))}
    context.shelf.put(f"runs/{run}/telling", record)
    context.shelf.put(f"runs/{run}/untold", {"who": untold})
    return context.later(-GIVE_UP) >= since
