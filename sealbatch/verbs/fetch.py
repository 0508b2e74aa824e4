"""`sealbatch fetch`: verifies and opens the answers of a job."""

from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from producer.forms import InputForm
from sealbatch.face import Face, ends_well
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t
from sealbatch.verbs.run import FORCE, OUTPUT, check_output, open_sink, output_form
from sealbatch.verbs.status import TICKET

EXAMPLES = """Examples:
sealbatch fetch sb1-... -o answers.jsonl
sealbatch fetch sb1-... -o answers.csv --input questions.csv
sealbatch fetch sb1-... -o - --only failed
sealbatch fetch sb1-... -o out.jsonl --receipts out.receipts"""

ONLY = Annotated[
    str | None, typer.Option(metavar="KIND", help="Write ok, failed or truncated lines only; all are verified.")
]
INPUT = Annotated[str | None, typer.Option("--input", metavar="FILE", help="Also match every line to this input.")]


@ends_well
def command(
    context: typer.Context,
    ticket: TICKET,
    output: OUTPUT,
    only: ONLY = None,
    source: INPUT = None,
    receipts: t.RECEIPTS = None,
    pcr0: t.PCR0 = None,
    release: t.RELEASE = None,
    force: FORCE = False,
) -> None:
    """Verify a finished job and write its answers.

    One line for each line of input, or nothing at all.
    """
    from results_consumer.fetch import FetchOptions, Only
    from sealbatch.clients import reader_s3
    from sealbatch.exits import Exit
    from sealbatch.faults import Stop
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen()
    if only is not None and only not in set(Only):
        raise Stop(Exit.USAGE, f"--only is one of {', '.join(Only)}")
    found = face.tickets().find(ticket)
    check_output(output, force=force)
    releases = t.releases(face, pcr0, release)
    config = face.config(screen)
    options = FetchOptions(
        form=output_form(output),
        only=None if only is None else Only(only),
        inputs=None if source is None else pairs(source, q.make_form(source, "auto", None, None, None)),
        receipts=receipts,
        replace_receipts=force,
    )
    sink = open_sink(output, force=force)
    summary = jobs.fetch_job(screen, config, reader_s3(config), found, sink, options, releases)
    jobs.show_summary(screen, summary, "standard output" if output == "-" else output)
    raise typer.Exit(jobs.exit_for(summary))


def pairs(path: str, form: InputForm) -> Callable[[], Iterator[tuple[int, str]]]:
    """Line and custom_id of each record of an input, read anew each time."""
    from producer.questions import read_records
    from wire.payload import Params, Record

    def read() -> Iterator[tuple[int, str]]:
        with q.open_input(path) as stream:
            for item in read_records(stream, form, Params(), keep_invalid=True):
                if isinstance(item, Record):
                    yield item.line, item.custom_id

    return read
