"""`sealbatch cancel`: ends a job before its end."""

import json

import typer

from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o

EXAMPLES = """\
sealbatch cancel sb1-...
sealbatch cancel sb1-... && sealbatch fetch sb1-... -o answers.jsonl"""


@ends_well
def command(
    context: typer.Context,
    ticket: o.TICKET,
    as_json: o.JSON = False,
) -> None:
    """Cancel a job; what is answered is kept.

    The job ends at once: records without an answer get the outcome canceled. Canceling twice, or a job that has ended,
    changes nothing and is no error.
    """
    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    job = face.client(screen).job(ticket)
    done = job.cancel()
    if not screen.tables:
        screen.data(json.dumps({"job": done.job, "records": done.records, "canceled": done.canceled}))
    if done.canceled:
        screen.say(f"{done.canceled:,} of {done.records:,} records are canceled; what was answered before is kept")
    else:
        screen.say("nothing was left to cancel: every record has its outcome")
    screen.next_step(f"sealbatch fetch {job.ticket} -o answers.jsonl")
