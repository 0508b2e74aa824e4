"""Proves an output again, offline: what `fetch` wrote, with the evidence that it kept."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from results_consumer.archive import evidence_of
from results_consumer.offline import ArchiveReport, verify_output
from results_consumer.trust import Release, ReleaseError, Trust, load_roots
from sealbatch.arguments import check_types
from sealbatch.errors import OptionError
from sealbatch.formats import output_format
from sealbatch.progress import Progress, Told, ignore
from sealbatch.questions import Questions, Source, opened
from sealbatch.tickets import own_tickets
from wire.ticket import Ticket

_PARTIAL: Final = "is for JSON lines and Parquet: a selection of a CSV does not say which records it has"


def verify(
    output: str | os.PathLike[str],
    *,
    receipts: str | os.PathLike[str] | None = None,
    questions: Source | None = None,
    releases: Sequence[Release] = (),
    ticket: str | None = None,
    partial: bool = False,
    development_root: str | os.PathLike[str] | None = None,
    progress: Told = ignore,
) -> ArchiveReport:
    """Prove an output again, without a network: who computed it, from what, and that nothing is missing or changed.

    Args:
        output: JSON lines, CSV or Parquet that `fetch` wrote, by its ending.
        receipts: the folder that `fetch` kept; None is the output's name with the ending `.receipts`.
        questions: also prove that these were the questions.
        releases: images to believe; none means the one that the job was sealed for.
        ticket: the job's; None looks among this user's. Without one, the list of chunks is believed as it was kept.
        partial: the output is a selection of the job's records.
        development_root: believe this root, a file, and not Amazon's. That proves no hardware.
        progress: is told now and then how many answers are verified, and how many there should be.

    Raises:
        IntegrityError: the first step that failed, and where.
        OptionError: there are no receipts, no answers, or arguments that do not fit each other.
        InputFileError: the output cannot be opened. TicketError: the ticket is mistyped.
        NotInstalledError: it is Parquet, and pyarrow is missing.
    """
    check_types(
        output=output, receipts=receipts, releases=releases, development_root=development_root, progress=progress
    )
    if ticket is not None:
        check_types(ticket=ticket)
    form = output_format(output, "auto")
    path = Path(output)
    folder = default_receipts(path) if receipts is None else Path(receipts)
    if not folder.is_dir():
        raise OptionError("receipts", f"{folder}: there are none; name the folder that fetch kept")
    if form == "csv" and partial:
        raise OptionError("partial", _PARTIAL)
    with _lines(path, form) as lines:
        report = verify_output(
            lines,
            folder,
            _trust(releases, development_root),
            tickets=known_tickets(ticket),
            csv_of=_only_job(folder, ticket) if form == "csv" else None,
            partial=partial,
            records=None if questions is None else Questions.of(questions).again().records,
            told=lambda done, records: progress(Progress("verifying", done, records)),
        )
    if not report.jobs:
        raise OptionError("output", f"{path} holds no answer")
    return report


def default_receipts(output: Path) -> Path:
    """The folder beside an output where its receipts are looked for."""
    return output.with_name(f"{output.stem}.receipts")


def known_tickets(ticket: str | None) -> dict[str, Ticket]:
    """This user's tickets by job, and the one that was given.

    Raises:
        TicketError: it is mistyped.
    """
    found = {kept.job: Ticket.parse(kept.ticket) for kept in own_tickets().all()}
    if ticket is not None:
        given = Ticket.parse(ticket)
        found[given.job] = given
    return found


@contextmanager
def _lines(path: Path, form: str) -> Iterator[Iterator[bytes]]:
    with opened(path) as file:
        if form == "parquet":
            from sealbatch.arrow.answers import answer_lines

            yield answer_lines(file)
        else:
            yield iter(file)


def _only_job(folder: Path, ticket: str | None) -> str:
    """The job that a CSV is of: the ticket's, or the one whose evidence lies in the folder."""
    if ticket is not None:
        return Ticket.parse(ticket).job
    jobs = evidence_of(folder)
    if len(jobs) != 1:
        raise OptionError("ticket", f"{folder} has the receipts of {len(jobs)} jobs; name the CSV's own")
    return jobs[0]


def _trust(releases: Sequence[Release], root: str | os.PathLike[str] | None) -> Trust:
    if root is None:
        return Trust(releases=tuple(releases))
    try:
        return Trust(load_roots(Path(root).read_bytes()), tuple(releases), development=True)
    except (OSError, ReleaseError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise OptionError("development_root", f"{os.fspath(root)}: {why}") from None
