"""`sealbatch wait`: returns when every record of a job has an outcome."""

import typer

from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o

EXAMPLES = """\
sealbatch wait sb1-... && sealbatch fetch sb1-... -o answers.jsonl
# two hours at most
sealbatch wait --timeout 7200 sb1-..."""


@ends_well
def command(
    context: typer.Context,
    ticket: o.TICKET,
    timeout: o.TIMEOUT = None,
) -> None:
    """Wait until every record has an outcome.

    What the outcomes are, `fetch` tells.
    """
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen()
    job = face.client(screen).job(ticket)
    with jobs.resumable(f"wait {job.ticket}"):
        jobs.wait_for(screen, job, timeout=timeout)
    screen.next_step(f"sealbatch fetch {job.ticket} -o answers.jsonl")
