"""`sealbatch verify`: proves an output again, offline."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch import complete
from sealbatch import help as h
from sealbatch.face import Face, ends_well
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t

if TYPE_CHECKING:
    from results_consumer.offline import ArchiveReport
    from results_consumer.trust import Trust
    from sealbatch.screen import Screen
    from wire.payload import Record
    from wire.ticket import Ticket

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

OUT = Annotated[Path, typer.Argument(metavar="OUT", help="JSON lines, or a whole CSV, that fetch or run wrote.")]
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
    receipts: DIR = None,
    pcr0: t.PCR0 = None,
    release: t.RELEASE = None,
    development_root: ROOT = None,
    ticket: TICKET = None,
    source: INPUT = None,
    partial: PARTIAL = False,
    as_json: q.JSON = False,
) -> None:
    """Prove an output again, without a network.

    Who computed it, from what, and that none of it is missing or changed. Every step has a number and a name; the first
    that fails is named, and the exit code is 9.
    """
    from results_consumer.errors import IntegrityError
    from results_consumer.offline import verify_output
    from sealbatch.exits import Exit
    from sealbatch.faults import Stop

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    trust = _trust(screen, t.releases(face, pcr0, release), development_root)
    folder = receipts or default_receipts(out)
    if not folder.is_dir():
        raise Stop(Exit.USAGE, f"{folder}: there are no receipts; name the folder that fetch kept with --receipts")
    tickets = _tickets(face, screen, folder, ticket)
    records = None if source is None else _records(source)
    as_csv = out.suffix.lower() == ".csv"
    if as_csv and partial:
        raise Stop(Exit.USAGE, "--partial is for JSON lines: a selection of a CSV does not say which records it has")
    csv_of = _only_job(folder, ticket) if as_csv else None
    try:
        with q.open_input(str(out)) as lines:
            report = verify_output(
                lines, folder, trust, tickets=tickets, csv_of=csv_of, partial=partial, records=records
            )
    except IntegrityError as error:
        hint = f"\n{CSV_HINT}" if as_csv and "results" in str(error) else ""
        raise Stop(Exit.INTEGRITY, f"NOT verified: {error}{hint}") from None
    if not report.jobs:
        raise Stop(Exit.USAGE, f"{out} holds no line")
    _show(screen, report, trust, questions=source is not None, partial=partial)
    raise typer.Exit(Exit.OK if report.attested == report.lines else Exit.PARTIAL)


def default_receipts(out: Path) -> Path:
    """The folder beside an output where its receipts are looked for."""
    return out.with_name(f"{out.stem}.receipts")


def _only_job(folder: Path, ticket: str | None) -> str:
    """The job that a CSV is of: the ticket's, or the one whose evidence lies in the folder."""
    from results_consumer.archive import evidence_of
    from sealbatch.exits import Exit
    from sealbatch.faults import Stop
    from wire.ticket import Ticket

    if ticket is not None:
        return Ticket.parse(ticket).job
    jobs = evidence_of(folder)
    if len(jobs) != 1:
        raise Stop(Exit.USAGE, f"{folder} has the receipts of {len(jobs)} jobs; name the CSV's own with --ticket")
    return jobs[0]


def _trust(screen: "Screen", releases, root: Path | None) -> "Trust":  # type: ignore[no-untyped-def]  # noqa: ANN001
    from results_consumer.trust import ReleaseError, Trust, load_roots
    from sealbatch.exits import Exit
    from sealbatch.faults import Stop

    if not releases:
        screen.say("note: neither --pcr0 nor --release: any image is accepted that the questions were sealed for")
    if root is None:
        return Trust(releases=releases)
    screen.say(f"WARNING: believing the development root {root}: this proves a protocol, and no hardware")
    try:
        return Trust(load_roots(root.read_bytes()), releases, development=True)
    except (OSError, ReleaseError) as error:
        raise Stop(Exit.USAGE, f"{root}: {getattr(error, 'strerror', None) or error}") from None


def _tickets(face: Face, screen: "Screen", folder: Path, ticket: str | None) -> "dict[str, Ticket]":
    """The ticket that was given, and this user's tickets of the jobs in the folder."""
    from wire.ticket import Ticket

    found = {kept.job: Ticket.parse(kept.ticket) for kept in face.tickets().all()}
    if ticket is not None:
        given = Ticket.parse(ticket)
        found[given.job] = given
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and path.name not in found:
            screen.say(f"note: no ticket of job {path.name} is known: its list of chunks is believed as it was kept")
    return found


def _records(path: str) -> "Callable[[], Iterator[Record]]":
    """The records of an input, read anew each time."""
    from producer.questions import read_records
    from wire.payload import Params, Record

    form = q.make_form(path, "auto", None, None, None)

    def read() -> Iterator[Record]:
        with q.open_input(path) as stream:
            for item in read_records(stream, form, Params(), keep_invalid=True):
                if isinstance(item, Record):
                    yield item

    return read


def _show(screen: "Screen", report: "ArchiveReport", trust: "Trust", *, questions: bool, partial: bool) -> None:
    """The steps that were made, and what they came to."""
    from results_consumer.receipts import PROVES, Step

    skipped = {Step.SEAL} | (set() if questions else {Step.INPUT}) | (set() if trust.releases else {Step.RELEASE})
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
    from results_consumer.receipts import Step

    return report.lines if step in {Step.RESULTS, Step.COMPLETE} else report.receipts
