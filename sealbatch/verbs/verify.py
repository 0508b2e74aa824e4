"""`sealbatch verify`: proves an output again, offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.face import Face, ends_well
from sealbatch.terminal import complete
from sealbatch.terminal import help as h
from sealbatch.verbs import options as o
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t

if TYPE_CHECKING:
    from results_consumer.offline import ArchiveReport
    from results_consumer.trust import Release
    from sealbatch.terminal.screen import Screen

EXAMPLES = """\
sealbatch fetch sb1-... -o out.jsonl --receipts out.receipts
# years later, without a network
sealbatch verify out.jsonl --release sealbatch-1.0.json
# and that these were the questions
sealbatch verify out.jsonl --pcr0 0b24... --input questions.jsonl"""

CSV_HINT = (
    "a CSV cannot hold every text: where an answer has control characters, U+FFFD stands instead, and only "
    "JSON lines prove it (sealbatch fetch TICKET -o OUT.jsonl --receipts DIR)"
)

OUT = Annotated[
    Path, typer.Argument(metavar="OUT", help="JSON lines, Parquet, or a whole CSV, that fetch or run wrote.")
]
DIR = Annotated[
    Path | None,
    typer.Option("--receipts", metavar="DIR", help="What `fetch --receipts` kept.", show_default="OUT.receipts"),
]
ROOT = Annotated[
    Path | None,
    typer.Option(
        "--development-root",
        metavar="FILE",
        help="Believe this root and not Amazon's: proves no hardware.",
        rich_help_panel=h.TRUST,
    ),
]
TICKET = Annotated[
    str | None,
    typer.Option(
        metavar="TICKET", help="The job's ticket.", show_default="this user's own", autocompletion=complete.tickets
    ),
]
INPUT = Annotated[
    str | None,
    typer.Option("--input", metavar="FILE", help="Also prove that these were the questions.", rich_help_panel=h.TRUST),
]
PARTIAL = Annotated[bool, typer.Option("--partial", help="OUT is a selection of the job's lines.")]


@ends_well
def command(
    context: typer.Context,
    out: OUT,
    *,
    receipts: DIR = None,
    pcr0: t.PCR0 = None,
    release: t.RELEASE = None,
    development_root: ROOT = None,
    ticket: TICKET = None,
    source: INPUT = None,
    columns: q.Columns,
    partial: PARTIAL = False,
    as_json: o.JSON = False,
) -> None:
    """Prove an output again, without a network.

    Who computed it, from what, and that none of it is missing or changed. Every step has a number and a name; the first
    that fails is named, and the exit code is 9.
    """
    from results_consumer.errors import IntegrityError
    from sealbatch.exits import Exit, Stop
    from sealbatch.verbs.output import verifying
    from sealbatch.verification import default_receipts, verify

    face: Face = context.obj
    screen = face.screen(as_json=as_json, fleeting=True)
    releases = t.releases(face, pcr0, release)
    folder = receipts or default_receipts(out)
    _note(screen, folder, ticket, releases, development_root)
    questions = None if source is None else columns.of(source)
    try:
        with screen.progress() as tell:
            report = verify(
                out,
                receipts=folder,
                questions=questions,
                releases=releases,
                ticket=ticket,
                partial=partial,
                development_root=development_root,
                progress=tell,
            )
    except IntegrityError as error:
        hint = f"\n{CSV_HINT}" if out.suffix.lower() == ".csv" and "results" in str(error) else ""
        raise Stop(Exit.INTEGRITY, f"NOT verified: {error}{hint}") from None
    _show(screen, report, releases, questions=source is not None, partial=partial)
    again = f"{verifying(out, receipts)} --release pcrs.json"
    if not releases:
        screen.next_step(again, "believe this release only")
    elif source is None:
        screen.next_step(f"{again} --input FILE", "prove the questions too")
    raise typer.Exit(Exit.OK if report.attested == report.lines else Exit.PARTIAL)


def _note(
    screen: "Screen", folder: Path, ticket: str | None, releases: "tuple[Release, ...]", root: Path | None
) -> None:
    """Say what is believed without proof."""
    from sealbatch.verification import known_tickets

    if not releases:
        screen.say("note: neither --pcr0 nor --release: any image is accepted that the questions were sealed for")
    if root is not None:
        screen.say(f"WARNING: believing the development root {root}: this proves a protocol, and no hardware")
    known = known_tickets(ticket)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and not path.name.startswith(".") and path.name not in known:
            screen.say(f"note: no ticket of job {path.name} is known: its list of chunks is believed as it was kept")


def _show(
    screen: "Screen", report: "ArchiveReport", releases: "tuple[Release, ...]", *, questions: bool, partial: bool
) -> None:
    """The steps that were made, and what they came to."""
    from results_consumer.steps import PROVES, Step

    skipped = {Step.SEAL} | (set() if questions else {Step.INPUT}) | (set() if releases else {Step.RELEASE})
    rows = [
        {"step": step.value, "name": step.code, "proves": PROVES[step], "result": "ok", "objects": _count(step, report)}
        for step in Step
        if step not in skipped and not (partial and step is Step.COMPLETE)
    ]
    screen.rows(("step", "name", "proves", "objects"), rows)
    images = ", ".join(f"{image[:16]}..." for image in sorted(report.images))
    times = (
        ""
        if report.first is None or report.last is None
        else f"{report.first:%Y-%m-%d %H:%M} to {report.last:%H:%M} UTC"
    )
    screen.say(
        f"verified: {report.lines:,} of {report.records:,} records, {report.receipts:,} receipts, attested {times}"
    )
    screen.say(f"image {images}")
    screen.say(f"model {', '.join(f'sha256:{model[:16]}...' for model in sorted(report.models))}")
    if report.attested != report.lines:
        screen.say(f"{report.lines - report.attested:,} outcomes are the bridge's word and not the enclave's")


def _count(step, report: "ArchiveReport") -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
    from results_consumer.steps import Step

    return report.lines if step in {Step.RESULTS, Step.COMPLETE} else report.receipts
