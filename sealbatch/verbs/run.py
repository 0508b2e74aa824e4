"""`sealbatch run`: submit, wait and fetch in one."""

import typer

from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t
from sealbatch.verbs.asking import Submitting
from sealbatch.verbs.output import check_output, spoken, target

EXAMPLES = """\
sealbatch run questions.jsonl -o answers.jsonl
# from a spreadsheet into one
sealbatch run mail.csv --question-column text -o answers.csv
# in a pipe: how many of which outcome
cat questions.jsonl | sealbatch run - -o - | jq -r .outcome | sort | uniq -c"""


@ends_well
def command(
    context: typer.Context,
    file: q.INPUT,
    output: o.OUTPUT,
    *,
    kind: q.FORMAT = "auto",
    columns: q.Columns,
    submitting: Submitting,
    require_pcr0: t.REQUIRE = None,
    receipts: t.RECEIPTS = None,
    force: o.FORCE = False,
    timeout: o.TIMEOUT = None,
) -> None:
    """Seal a file of questions, have it answered, open the answers.

    It is submit, wait and fetch in one. Interrupted, it says what to type to go on; the job goes on by itself.
    """
    from sealbatch.job import Job
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen()
    check_output(output, force=force)
    client = face.client(screen)
    intake = submitting.intake(require=t.required(face, require_pcr0))
    job = Job(client, jobs.submit_job(screen, client, file, columns.of(file, kind), intake).sent_ticket())
    screen.say(f"ticket {job.ticket}")
    with jobs.sent(job.ticket):
        jobs.wait_for(screen, job, timeout=timeout)
        summary = jobs.fetch_job(screen, client, job, target(output), receipts=receipts, overwrite=force)
    jobs.show_summary(screen, summary, spoken(output))
    jobs.name_next(screen, summary, job.ticket, output, file, receipts)
    raise typer.Exit(jobs.exit_for(summary))
