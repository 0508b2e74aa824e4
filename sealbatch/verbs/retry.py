"""`sealbatch retry`: asks the failed records of a job again, as a job linked to it."""

from typing import Annotated

import typer

from sealbatch.exits import Exit
from sealbatch.face import Face, ends_well
from sealbatch.faults import Stop
from sealbatch.verbs import questions as q
from sealbatch.verbs.fetch import pairs
from sealbatch.verbs.status import TICKET

EXAMPLES = """\
sealbatch retry sb1-... questions.jsonl
# also what is likely to fail again, with longer answers
sealbatch retry --all --max-tokens 512 sb1-... questions.jsonl"""


@ends_well
def command(
    context: typer.Context,
    ticket: TICKET,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The input of the job, as it was submitted.")],
    every: Annotated[bool, typer.Option("--all", help="Also records that are likely to fail again.")] = False,
    kind: q.FORMAT = "auto",
    id_column: q.ID_COLUMN = None,
    question_column: q.QUESTION_COLUMN = None,
    delimiter: q.DELIMITER = None,
    max_tokens: q.TOKENS = None,
    temperature: q.TEMPERATURE = 0.0,
    seed: q.SEED = None,
    stop: q.STOP = None,
    chunk_size: q.CHUNK = None,
    deadline: q.DEADLINE = None,
    window: q.WINDOW = None,
    not_before: q.NOT_BEFORE = None,
) -> None:
    """Ask the failed records of a job again.

    FILE is the job's own input: nobody but the enclave can open what was sealed of it. What failed, expired or was
    canceled becomes a job of its own, whose ticket is printed; fetch of the first job then gives all answers together.
    """
    from results_consumer.errors import JobNotFinished
    from results_consumer.fetch import FetchOptions
    from results_consumer.job import open_job
    from results_consumer.retries import link_key
    from sealbatch.clients import reader_kms, reader_s3
    from sealbatch.retrying import FailedRecords
    from sealbatch.times import JobTimes
    from sealbatch.verbs import jobs
    from wire.manifest import Retry

    face: Face = context.obj
    screen = face.screen()
    found = face.tickets().find(ticket)
    config = face.config(screen)
    form = q.make_form(file, kind, id_column, question_column, delimiter)
    failed = FailedRecords(every=every)
    s3 = reader_s3(config)
    parent = open_job(s3, config.reader(), found)
    if (first := parent.manifest.parameters.retry) is not None:
        raise Stop(Exit.USAGE, f"that job is a retry itself; retry the first one: {first.parent}")
    if file == "-":
        raise Stop(Exit.USAGE, "the input is read more than once; name a file")
    try:
        jobs.fetch_job(screen, config, s3, found, failed, FetchOptions(inputs=pairs(file, form)))
    except JobNotFinished as error:
        raise Stop(Exit.TEMPORARY, f"{error}; wait for it, or cancel it: what is canceled is retried") from None
    if not failed.ranges:
        screen.say("no record of the job is worth another try" + ("" if every else "; --all takes every failed one"))
        return
    intake = jobs.Intake(
        path=file,
        form=form,
        params=q.make_params(max_tokens, temperature, seed, stop),
        chunk_size=chunk_size,
        skip_invalid=True,
        times=JobTimes(deadline, window, not_before),
        retry=Retry(found, tuple(failed.ranges)),
        retry_key=link_key(reader_kms(config), parent),
    )
    with q.open_input(file) as source:
        done = jobs.submit_job(face, screen, config, source, intake)
    screen.data(str(done.ticket))
    screen.say(f"{done.records:,} records are asked again")
    screen.next_step(f"sealbatch wait {done.ticket} && sealbatch fetch {found} -o answers.jsonl")
