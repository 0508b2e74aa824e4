"""`sealbatch run`: submit, wait and fetch in one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch import help as h
from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t

if TYPE_CHECKING:
    from sealbatch.formats import Output

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
        help="File for the answers: CSV or Parquet if its name ends so, else JSON lines; - for a pipe.",
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
        NotInstalledError: it is Parquet, and pyarrow is missing.
    """
    import os

    from sealbatch.extras import need
    from sealbatch.formats import output_format

    if output_format(path, "auto") == "parquet":
        need("parquet")
    if path == "-":
        return
    target = Path(path)
    if target.is_dir():
        raise Stop(Exit.USAGE, f"{path} is a directory; name a file")
    if target.exists() and not force and not begun:
        raise Stop(Exit.USAGE, f"{path} exists", "add --force, or name another file")
    folder = target.resolve().parent
    if not folder.is_dir():
        raise Stop(Exit.USAGE, f"{path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise Stop(Exit.NO_PERMISSION, f"{path}: the folder {folder} may not be written")


def target(path: str) -> "Output":
    """Where an output goes."""
    return sys.stdout.buffer if path == "-" else path


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
    from sealbatch.intake import Intake
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen()
    check_output(output, force=force)
    client = face.client(screen)
    intake = Intake(
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        stop=stop or (),
        name=name,
        chunk_size=chunk_size,
        skip_invalid=skip_invalid,
        deadline=deadline,
        completion_window=window,
        not_before=not_before,
        idempotency_key=key,
        require=t.required(face, require_pcr0),
    )
    questions = q.questions_of(file, kind, id_column, question_column, delimiter)
    job = client.job(str(jobs.submit_job(screen, client, file, questions, intake).sent_ticket()))
    screen.say(f"ticket {job.ticket}")
    with jobs.resumable(f"wait {job.ticket}"):
        jobs.wait_for(screen, job, timeout=timeout)
        summary = jobs.fetch_job(screen, client, job, target(output), receipts=receipts, overwrite=force)
    jobs.show_summary(screen, summary, "standard output" if output == "-" else output)
    jobs.name_next(screen, summary, job.ticket, output, file, receipts=receipts is not None)
    raise typer.Exit(jobs.exit_for(summary))
