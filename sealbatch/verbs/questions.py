"""The options that describe an input of questions, and what is to be said of one that was read."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.formats import Format
from sealbatch.terminal import help as h

if TYPE_CHECKING:
    from producer.validate import ValidationReport
    from sealbatch.questions import Questions
    from sealbatch.terminal.screen import Screen

_input = partial(typer.Option, rich_help_panel=h.INPUT)

INPUT = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="Questions: JSON lines (OpenAI's batch lines too), CSV or Parquet; - for a pipe."
    ),
]
FORMAT = Annotated[
    Format, _input("--format", metavar="KIND", help="jsonl, csv, parquet, or auto: by the file's name or first line.")
]


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a table the questions stand."""

    id_column: Annotated[
        str | None,
        _input(metavar="NAME", help="Column of the custom_id, in CSV and Parquet.", show_default="custom_id"),
    ] = None
    question_column: Annotated[
        str | None, _input(metavar="NAME", help="Column of the question, in CSV and Parquet.", show_default="question")
    ] = None
    delimiter: Annotated[str | None, _input(metavar="CHAR", help="Between CSV cells.", show_default="a comma")] = None

    def of(self, path: str, kind: Format = "auto") -> "Questions":
        """The questions of a file; `-` is standard input.

        Raises:
            OptionError: an option is wrong. Stop: nothing is piped in.
        """
        from sealbatch.questions import Questions

        if path == "-" and sys.stdin.isatty():
            raise Stop(Exit.USAGE, "standard input is a terminal; pipe the questions in, or name a file")
        source = sys.stdin.buffer if path == "-" else Path(path)
        return Questions(
            source,
            format=kind,
            id_column=self.id_column,
            question_column=self.question_column,
            delimiter=self.delimiter,
        )


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
