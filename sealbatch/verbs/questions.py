"""The options that describe an input of questions, and the input itself; shared by run, submit and validate."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch import complete
from sealbatch import help as h
from sealbatch.exits import Exit, Stop

if TYPE_CHECKING:
    from producer.validate import ValidationReport
    from sealbatch.questions import Questions
    from sealbatch.screen import Screen

MAX_TOKENS = 65_536
"""`wire.payload.MAX_TOKENS`, said here so that a help or a completion loads no cryptography; a test compares them."""

INPUT = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="Questions: JSON lines (OpenAI's batch lines too), CSV or Parquet; - for a pipe."
    ),
]
FORMAT = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="KIND",
        help="jsonl, csv, parquet, or auto: by the file's name or first line.",
        rich_help_panel=h.INPUT,
        autocompletion=complete.one_of("auto", "jsonl", "csv", "parquet"),
    ),
]
ID_COLUMN = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Column of the custom_id, in CSV and Parquet.",
        show_default="custom_id",
        rich_help_panel=h.INPUT,
    ),
]
QUESTION_COLUMN = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Column of the question, in CSV and Parquet.",
        show_default="question",
        rich_help_panel=h.INPUT,
    ),
]
DELIMITER = Annotated[
    str | None,
    typer.Option(metavar="CHAR", help="Between CSV cells.", show_default="a comma", rich_help_panel=h.INPUT),
]
SKIP = Annotated[
    bool,
    typer.Option(
        "--skip-invalid",
        help="Seal the valid lines; an invalid one gets an error for an answer.",
        rich_help_panel=h.INPUT,
    ),
]
TOKENS = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=MAX_TOKENS,
        help="Longest answer in tokens.",
        show_default="the enclave's, 128",
        rich_help_panel=h.ANSWERS,
    ),
]
TEMPERATURE = Annotated[
    float,
    typer.Option(metavar="T", min=0, max=2, help="0 always takes the likeliest token.", rich_help_panel=h.ANSWERS),
]
SEED = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Seed of the sampling: the same one gives the same answer.",
        show_default="from the question's key",
        rich_help_panel=h.ANSWERS,
    ),
]
STOP = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="End an answer before this text; may be given again.", rich_help_panel=h.ANSWERS),
]
CHUNK = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=4096,
        help="Records that are sealed together.",
        show_default="32",
        rich_help_panel=h.JOB,
    ),
]
NAME = Annotated[
    str,
    typer.Option(
        metavar="TEXT", show_default=False, help="A name for the job. The host can read it.", rich_help_panel=h.JOB
    ),
]
DEADLINE = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="What has no answer by then is expired: 2026-11-26T05:00 (local) or 2026-11-26T05:00Z.",
        show_default="none",
        rich_help_panel=h.JOB,
    ),
]
WINDOW = Annotated[
    str | None,
    typer.Option(
        "--completion-window",
        metavar="SPAN",
        help="The deadline as a span from the beginning: 90m, 24h or 2d.",
        show_default="none",
        rich_help_panel=h.JOB,
    ),
]
NOT_BEFORE = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Nothing is answered before then.", show_default="now", rich_help_panel=h.JOB),
]
KEY = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        help="One job under this key, however often it is typed.",
        rich_help_panel=h.JOB,
    ),
]
TIMEOUT = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Wait so long at most, then exit with 124; the job goes on.",
        show_default="no limit",
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="JSON lines on standard output, even on a terminal.")]


def questions_of(
    path: str,
    kind: str = "auto",
    id_column: str | None = None,
    question_column: str | None = None,
    delimiter: str | None = None,
) -> "Questions":
    """The input, from the options that describe it.

    Raises:
        OptionError: an option is wrong. Stop: nothing is piped in.
    """
    from sealbatch.questions import Questions

    if path == "-" and sys.stdin.isatty():
        raise Stop(Exit.USAGE, "standard input is a terminal; pipe the questions in, or name a file")
    source = sys.stdin.buffer if path == "-" else Path(path)
    return Questions(source, format=kind, id_column=id_column, question_column=question_column, delimiter=delimiter)


def show_problems(screen: "Screen", path: str, report: "ValidationReport") -> None:
    """The problems of an input: as data on standard output, a table on a terminal."""
    rows = [
        {
            "file": path,
            "line": problem.line,
            "code": str(problem.code),
            "param": problem.param,
            "message": problem.message,
        }
        for problem in report.problems
    ]
    screen.rows(("line", "code", "param", "message"), rows)
    if report.problem_count > len(rows):
        screen.say(f"... and {report.problem_count - len(rows):,} more; --max-errors shows more of them")


def show_notes(screen: "Screen", report: "ValidationReport") -> None:
    """What is worth knowing of a valid input."""
    if report.named_models:
        screen.say(f"note: {report.named_models:,} lines name a model; the enclave's own model answers all")
    if report.ssn_like_ids:
        screen.say(
            f"note: {report.ssn_like_ids:,} custom_ids look like social security numbers; they will stand in the output"
        )
