"""`sealbatch status`: how far a job is."""

import json
from typing import TYPE_CHECKING, Any

import typer

from sealbatch.face import Face, ends_well
from sealbatch.times import local_minute
from sealbatch.verbs import options as o

if TYPE_CHECKING:
    from results_consumer.status import JobStatus

EXAMPLES = """\
sealbatch status sb1-...
# by the beginning of the job's id, for a program
sealbatch status --json 4fd0 | jq .request_counts"""

COLUMNS = ("job", "name", "state", "answered", "failed", "total", "created")
"""What a table shows of a job; the rest of a row is for programs."""


def as_object(status: "JobStatus") -> dict[str, Any]:
    """A job object with OpenAI's names, as far as the bucket alone can tell."""
    finished = status.answered + status.failed_unattested
    return {
        "id": status.job,
        "object": "batch",
        "name": status.name or None,
        "status": str(status.state),
        "created_at": status.created_ms // 1000,
        "request_counts": {
            "total": status.total,
            "answered": status.answered,
            "failed_unattested": status.failed_unattested,
            "processing": status.total - finished,
        },
        "chunks": {"total": status.chunks, "answered": status.chunks_answered},
        "notice": None if status.notice is None else status.notice.code,
    }


def as_row(status: "JobStatus") -> dict[str, Any]:
    """The same for a table."""
    return {
        "job": status.job,
        "name": status.name,
        "state": str(status.state),
        "answered": status.answered,
        "failed": status.failed_unattested,
        "total": status.total,
        "created": local_minute(status.created_ms / 1000),
        "created_at": status.created_ms // 1000,
    }


@ends_well
def command(context: typer.Context, ticket: o.TICKET, as_json: o.JSON = False) -> None:
    """Say how far a job is.

    It tells by what lies in the bucket; nothing is opened.
    """
    from results_consumer.status import JobState
    from sealbatch.errors import stalled

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    job = face.client(screen).job(ticket)
    status = job.status()
    if screen.tables:
        screen.rows(COLUMNS, [as_row(status)])
    else:
        screen.data(json.dumps(as_object(status), ensure_ascii=False))
    if status.notice is not None and status.state is JobState.STALLED:
        screen.say(stalled(status.notice))
    done = status.state is JobState.COMPLETED
    screen.next_step(f"sealbatch fetch {job.ticket} -o answers.jsonl" if done else f"sealbatch wait {job.ticket}")
