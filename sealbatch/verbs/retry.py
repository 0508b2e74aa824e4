"""`sealbatch retry`: asks the failed records of a job again, as a job linked to it."""

from typing import Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o
from sealbatch.verbs import questions as q
from sealbatch.verbs.asking import Asking

EXAMPLES = """\
sealbatch retry sb1-... questions.jsonl
# also what is likely to fail again, with longer answers
sealbatch retry --all --max-tokens 512 sb1-... questions.jsonl"""


@ends_well
def command(
    context: typer.Context,
    ticket: o.TICKET,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The input of the job, as it was submitted.")],
    *,
    every: Annotated[bool, typer.Option("--all", help="Also records that are likely to fail again.")] = False,
    kind: q.FORMAT = "auto",
    columns: q.Columns,
    asking: Asking,
) -> None:
    """Ask the failed records of a job again.

    FILE is the job's own input: nobody but the enclave can open what was sealed of it. What failed, expired or was
    canceled becomes a job of its own, whose ticket is printed; fetch of the first job then gives all answers together.
    """
    from results_consumer.errors import JobNotFinished
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen()
    job = face.client(screen).job(ticket)
    questions = columns.of(file, kind)
    try:
        with jobs.showing_problems(screen, file), screen.progress() as tell:
            done = job.ask_again(questions, asking.intake(), every=every, progress=tell)
    except JobNotFinished as error:
        raise Stop(
            Exit.TEMPORARY, str(error), f"sealbatch wait {ticket}, or cancel it: what is canceled is retried"
        ) from None
    if done is None:
        screen.say("no record of the job is worth another try" + ("" if every else "; --all takes every failed one"))
        screen.next_step(f"sealbatch fetch {ticket} -o - --only failed", "why")
        return
    screen.data(str(done.ticket))
    screen.say(f"{done.records:,} records are asked again")
    screen.next_step(f"sealbatch wait {done.ticket} && sealbatch fetch {job.ticket} -o answers.jsonl")
