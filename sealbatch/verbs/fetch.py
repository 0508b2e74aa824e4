"""`sealbatch fetch`: verifies and opens the answers of a job."""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sealbatch import complete
from sealbatch import help as h
from sealbatch.face import Face, ends_well
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t
from sealbatch.verbs.run import FORCE, OUTPUT, check_output, open_sink, output_form
from sealbatch.verbs.status import TICKET

if TYPE_CHECKING:
    from producer.forms import InputForm
    from results_consumer.fetch import FetchOptions
    from results_consumer.tally import FetchSummary
    from results_consumer.trust import Release
    from sealbatch.config import Config
    from sealbatch.screen import Screen
    from wire.ticket import Ticket

EXAMPLES = """\
sealbatch fetch sb1-... -o answers.jsonl
# and prove that each answer belongs to its question
sealbatch fetch sb1-... -o answers.csv --input questions.csv
# keep what proves the answers, for years
sealbatch fetch sb1-... -o out.jsonl --receipts out.receipts
# what went wrong, on the screen
sealbatch fetch sb1-... -o - --only failed
# while the job runs; killed, type the same to go on
sealbatch fetch --follow sb1-... -o answers.jsonl"""

ONLY = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="Write ok, failed or truncated lines only; all are verified.",
        show_default="all",
        rich_help_panel=h.OUTPUT,
        autocompletion=complete.one_of("ok", "failed", "truncated"),
    ),
]
INPUT = Annotated[
    str | None,
    typer.Option(
        "--input", metavar="FILE", help="Also match every line to this input of the job.", rich_help_panel=h.TRUST
    ),
]
FOLLOW = Annotated[
    bool, typer.Option("--follow", "-f", help="Write answers while the job runs; killed, type the same to go on.")
]


@ends_well
def command(
    context: typer.Context,
    ticket: TICKET,
    output: OUTPUT,
    follow: FOLLOW = False,
    timeout: q.TIMEOUT = None,
    only: ONLY = None,
    source: INPUT = None,
    receipts: t.RECEIPTS = None,
    pcr0: t.PCR0 = None,
    release: t.RELEASE = None,
    force: FORCE = False,
) -> None:
    """Verify a finished job and write its answers.

    One line for each line of input, or nothing at all. With --follow, lines are verified and written in the input's
    order while the job runs: to OUT.partial, which becomes OUT when the job has ended or its deadline has passed.
    --timeout is for --follow.
    """
    from results_consumer.fetch import FetchOptions, Only
    from results_consumer.growing import GrowingFile
    from sealbatch.clients import reader_s3
    from sealbatch.exits import Exit
    from sealbatch.faults import Stop
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen()
    if only is not None and only not in set(Only):
        raise Stop(Exit.USAGE, f"--only is one of {', '.join(Only)}")
    found = face.tickets().find(ticket)
    if timeout is not None and not follow:
        raise Stop(Exit.USAGE, "--timeout is for --follow; `sealbatch wait --timeout` waits for a job")
    check_output(output, force=force, begun=follow and GrowingFile.begun(output))
    releases = t.releases(face, pcr0, release)
    config = face.config(screen)
    options = FetchOptions(
        form=output_form(output),
        only=None if only is None else Only(only),
        inputs=None if source is None else pairs(source, q.make_form(source, "auto", None, None, None)),
        receipts=receipts,
        replace_receipts=force,
    )
    s3 = reader_s3(config)
    if follow:
        again = f"fetch --follow {found} -o {output}"
        with jobs.resumable(again):
            summary = _followed(screen, config, s3, found, output, options, releases, timeout, force=force)
    else:
        summary = jobs.fetch_job(screen, config, s3, found, open_sink(output, force=force), options, releases)
    jobs.show_summary(screen, summary, "standard output" if output == "-" else output)
    raise typer.Exit(jobs.exit_for(summary))


def _followed(
    screen: "Screen",
    config: "Config",
    s3: Any,
    ticket: "Ticket",
    output: str,
    options: "FetchOptions",
    releases: "tuple[Release, ...]",
    timeout: float | None,
    *,
    force: bool,
) -> "FetchSummary":
    from results_consumer.errors import IntegrityError
    from results_consumer.follow import identity
    from results_consumer.growing import Growing, GrowingFile, GrowingStream
    from results_consumer.retries import has_retries
    from sealbatch.exits import Exit
    from sealbatch.faults import Stop
    from sealbatch.verbs import jobs

    reader = config.reader(releases)
    if has_retries(s3, reader, ticket):
        # It had ended when somebody had it retried; a retry's lines belong in the place of its own.
        summary = jobs.fetch_when_ended(
            screen, config, s3, ticket, lambda: open_sink(output, force=force), options, releases, timeout
        )
        if output != "-":
            GrowingFile.discard(output)
        return summary
    growing: Growing = GrowingStream(sys.stdout.buffer)
    if output != "-":
        growing = GrowingFile(output, identity(ticket, reader, options), overwrite=force)
        screen.say(f"lines so far stand in {output}.partial")
    try:
        return jobs.follow_job(screen, config, s3, ticket, growing, options, releases, timeout=timeout)
    except IntegrityError as error:
        kept = "" if output == "-" else f"; what was verified before stays in {output}.partial"
        raise Stop(Exit.INTEGRITY, f"{error}{kept}") from None


def pairs(path: str, form: "InputForm") -> Callable[[], Iterator[tuple[int, str]]]:
    """Line and custom_id of each record of an input, read anew each time."""
    from producer.questions import read_records
    from wire.payload import Params, Record

    def read() -> Iterator[tuple[int, str]]:
        with q.open_input(path) as stream:
            for item in read_records(stream, form, Params(), keep_invalid=True):
                if isinstance(item, Record):
                    yield item.line, item.custom_id

    return read
