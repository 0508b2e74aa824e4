"""`sealbatch run`: submit, wait and fetch in one."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sealbatch import help as h
from sealbatch.exits import Exit
from sealbatch.face import Face, ends_well
from sealbatch.faults import Stop
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t

EXAMPLES = """\
sealbatch run questions.jsonl -o answers.jsonl
# from a spreadsheet into one
sealbatch run mail.csv --question-column text -o answers.csv
# in a pipe: how many of which outcome
cat questions.jsonl | sealbatch run - -o - | jq -r .outcome | sort | uniq -c"""

OUTPUT = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="File for the answers: CSV if its name ends in .csv, else JSON lines; - for a pipe.",
        rich_help_panel=h.OUTPUT,
    ),
]
FORCE = Annotated[
    bool, typer.Option("--force", help="Overwrite OUT and its receipts if they exist.", rich_help_panel=h.OUTPUT)
]


def check_output(path: str, *, force: bool, begun: bool = False) -> None:
    """Refuse, before anything is sent, an output that could not be written afterwards.

    One that was `begun` by an earlier run may exist.

    Raises:
        Stop: it exists, or its folder does not, or may not be written.
    """
    import os

    if path == "-":
        return
    target = Path(path)
    if target.is_dir():
        raise Stop(Exit.USAGE, f"{path} is a directory; name a file")
    if target.exists() and not force and not begun:
        raise Stop(Exit.USAGE, f"{path} exists; --force overwrites it")
    folder = target.resolve().parent
    if not folder.is_dir():
        raise Stop(Exit.USAGE, f"{path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise Stop(Exit.NO_PERMISSION, f"{path}: the folder {folder} may not be written")


def open_sink(path: str, *, force: bool):  # type: ignore[no-untyped-def]  # noqa: ANN201 - either sink
    """The sink for `path`."""
    from results_consumer.sink import FileSink, StreamSink

    return StreamSink(sys.stdout.buffer) if path == "-" else FileSink(path, overwrite=force)


def output_form(path: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """CSV if the file's name says so, else JSON lines."""
    from results_consumer.output import OutputForm

    return OutputForm.CSV if path.lower().endswith(".csv") else OutputForm.JSONL


@ends_well
def command(
    context: typer.Context,
    file: q.INPUT,
    output: OUTPUT,
    kind: q.FORMAT = "auto",
    id_column: q.ID_COLUMN = None,
    question_column: q.QUESTION_COLUMN = None,
    delimiter: q.DELIMITER = None,
    max_tokens: q.TOKENS = None,
    temperature: q.TEMPERATURE = 0.0,
    seed: q.SEED = None,
    stop: q.STOP = None,
    name: q.NAME = "",
    chunk_size: q.CHUNK = None,
    skip_invalid: q.SKIP = False,
    deadline: q.DEADLINE = None,
    window: q.WINDOW = None,
    not_before: q.NOT_BEFORE = None,
    key: q.KEY = None,
    require_pcr0: t.REQUIRE = None,
    receipts: t.RECEIPTS = None,
    force: FORCE = False,
    timeout: q.TIMEOUT = None,
) -> None:
    """Seal a file of questions, have it answered, open the answers.

    It is submit, wait and fetch in one. Interrupted, it says what to type to go on; the job goes on by itself.
    """
    from results_consumer.fetch import FetchOptions
    from sealbatch.clients import reader_s3
    from sealbatch.secret import make_idempotency
    from sealbatch.times import JobTimes
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen()
    check_output(output, force=force)
    config = face.config(screen)
    times = JobTimes(deadline, window, not_before)
    intake = jobs.Intake(
        path=file,
        form=q.make_form(file, kind, id_column, question_column, delimiter),
        params=q.make_params(max_tokens, temperature, seed, stop),
        name=name,
        chunk_size=chunk_size,
        skip_invalid=skip_invalid,
        times=times,
        idempotency=make_idempotency(config, key, times),
        required=t.required(face, require_pcr0),
    )
    with q.open_input(file) as source:
        ticket = jobs.submit_job(face, screen, config, source, intake).ticket
    if ticket is None:
        raise AssertionError("only a dry run has no ticket")
    screen.say(f"ticket {ticket}")
    with jobs.resumable(f"wait {ticket}"):
        s3 = reader_s3(config)
        jobs.wait_for(screen, config, s3, ticket, timeout=timeout)
        sink = open_sink(output, force=force)
        options = FetchOptions(form=output_form(output), receipts=receipts, replace_receipts=force)
        summary = jobs.fetch_job(screen, config, s3, ticket, sink, options)
    jobs.show_summary(screen, summary, "standard output" if output == "-" else output)
    raise typer.Exit(jobs.exit_for(summary))
