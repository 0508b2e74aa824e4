"""`sealbatch submit`: seals a file of questions, sends it, and prints its ticket."""

from typing import Annotated

import typer

from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t
from sealbatch.verbs.asking import Submitting

EXAMPLES = """\
sealbatch submit questions.jsonl
# one job, however often this is typed
sealbatch submit questions.jsonl --idempotency-key mail-2026-11-25
# what has no answer after eight hours is expired
sealbatch submit questions.jsonl --completion-window 8h
sealbatch submit mail.csv --question-column text --id-column case
TICKET=$(sealbatch submit - < questions.jsonl)"""


@ends_well
def command(
    context: typer.Context,
    file: q.INPUT,
    *,
    kind: q.FORMAT = "auto",
    columns: q.Columns,
    submitting: Submitting,
    require_pcr0: t.REQUIRE = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Do all but ask KMS, store and send.")] = False,
    as_json: o.JSON = False,
) -> None:
    """Seal a file of questions, send it, and print its ticket.

    The ticket, and nothing else, goes to standard output.
    """
    import json

    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    client = face.client(screen)
    intake = submitting.intake(require=t.required(face, require_pcr0))
    done = jobs.submit_job(screen, client, file, columns.of(file, kind), intake, dry_run=dry_run)
    counts = f"{done.records:,} records in {done.chunks:,} chunks, {done.sealed_bytes:,} bytes sealed"
    if done.ticket is None:
        screen.say(f"{counts}; nothing was sent")
        screen.next_step(f"sealbatch submit {file}")
        return
    if as_json:
        screen.data(
            json.dumps({"ticket": str(done.ticket), "job": done.job, "records": done.records, "chunks": done.chunks})
        )
    else:
        screen.data(str(done.ticket))
    screen.say("submitted before under this key; nothing was sealed again" if done.existed else counts)
    screen.next_step(f"sealbatch wait {done.ticket}")
