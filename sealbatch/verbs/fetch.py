"""`sealbatch fetch`: verifies and opens the answers of a job."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

from sealbatch.face import Face, ends_well
from sealbatch.formats import Format
from sealbatch.terminal import help as h
from sealbatch.verbs import options as o
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t
from sealbatch.verbs.output import check_output, spoken, target

EXAMPLES = """\
sealbatch fetch sb1-... -o answers.jsonl
# and prove that each answer belongs to its question
sealbatch fetch sb1-... -o answers.csv --input questions.csv
# for pandas and its like
sealbatch fetch sb1-... -o answers.parquet
# keep what proves the answers, for years
sealbatch fetch sb1-... -o out.jsonl --receipts out.receipts
# what went wrong, on the screen
sealbatch fetch sb1-... -o - --only failed
# while the job runs; killed, type the same to go on
sealbatch fetch --follow sb1-... -o answers.jsonl"""

ONLY = Annotated[
    Literal["ok", "truncated", "answered", "failed"] | None,
    typer.Option(
        metavar="KIND",
        help="Write ok, truncated, answered (both) or failed lines only; all are verified.",
        show_default="all",
        rich_help_panel=h.OUTPUT,
    ),
]
INPUT = Annotated[
    str | None,
    typer.Option(
        "--input", metavar="FILE", help="Also match every line to this input of the job.", rich_help_panel=h.TRUST
    ),
]
FORMAT = Annotated[
    Format,
    typer.Option(
        "--format",
        metavar="KIND",
        help="jsonl, csv, parquet, or auto: by the name of OUT.",
        rich_help_panel=h.OUTPUT,
    ),
]
FOLLOW = Annotated[
    bool, typer.Option("--follow", "-f", help="Write answers while the job runs; killed, type the same to go on.")
]


@ends_well
def command(
    context: typer.Context,
    ticket: o.TICKET,
    output: o.OUTPUT,
    *,
    kind: FORMAT = "auto",
    follow: FOLLOW = False,
    timeout: o.TIMEOUT = None,
    only: ONLY = None,
    source: INPUT = None,
    columns: q.Columns,
    receipts: t.RECEIPTS = None,
    pcr0: t.PCR0 = None,
    release: t.RELEASE = None,
    force: o.FORCE = False,
) -> None:
    """Verify a finished job and write its answers.

    One line for each line of input, or nothing at all. With --follow, lines are verified and written in the input's
    order while the job runs: to OUT.partial, which becomes OUT when the job has ended or its deadline has passed.
    --timeout is for --follow.
    """
    from results_consumer.growing_file import GrowingFile
    from sealbatch.exits import Exit, Stop
    from sealbatch.tickets import own_tickets
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen()
    if timeout is not None and not follow:
        raise Stop(Exit.USAGE, "--timeout is for --follow; `sealbatch wait --timeout` waits for a job")
    found = own_tickets().find(ticket)
    check_output(output, force=force, begun=follow and GrowingFile.begun(output))
    releases = t.releases(face, pcr0, release)
    client = face.client(screen)
    job = client.job(str(found))
    if follow and output != "-":
        screen.say(f"lines so far stand in {output}.partial")
    again = f"fetch {'--follow ' if follow else ''}{found} -o {output}"
    with _kept(output, follow=follow), jobs.resumable(again):
        summary = jobs.fetch_job(
            screen,
            client,
            job,
            target(output),
            format=kind,
            only=only,
            questions=None if source is None else columns.of(source),
            receipts=receipts,
            releases=releases,
            overwrite=force,
            follow=follow,
            timeout=timeout,
        )
    jobs.show_summary(screen, summary, spoken(output))
    jobs.name_next(screen, summary, str(found), output, source, receipts)
    raise typer.Exit(jobs.exit_for(summary))


@contextmanager
def _kept(output: str, *, follow: bool) -> Iterator[None]:
    """Say what is kept of an output that did not verify to its end."""
    from results_consumer.errors import IntegrityError
    from results_consumer.growing_file import GrowingFile
    from sealbatch.exits import Exit, Stop

    try:
        yield
    except IntegrityError as error:
        if not follow:
            raise
        begun = output != "-" and GrowingFile.begun(output)
        kept = f"; what was verified before stays in {output}.partial" if begun else ""
        raise Stop(Exit.INTEGRITY, f"{error}{kept}") from None
