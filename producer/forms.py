"""Which form an input has: said by the user, by the file's name, or by its first line."""

import csv
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

from producer.problem import BadLineError, invalid
from wire.payload import ErrorCode

Kind = Literal["auto", "jsonl", "csv"]

DEFAULT_QUESTION_COLUMN: Final = "question"
DEFAULT_ID_COLUMN: Final = "custom_id"

_SUFFIXES: Final[dict[str, Kind]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".ndjson": "jsonl",
}


@dataclass(frozen=True, slots=True)
class InputForm:
    """How to read an input.

    With `kind` auto, the ending of `name` decides (the file's name, empty for a pipe), else any of the CSV options,
    else the first line: a CSV header with the question column, or JSON lines. `id_column` None means `custom_id` if
    there is such a column, and line numbers if not; `delimiter` None means a tab for `.tsv` and a comma otherwise.

    Raises:
        ValueError: `delimiter` is not one plain character.
    """

    kind: Kind = "auto"
    name: str = ""
    id_column: str | None = None
    question_column: str | None = None
    delimiter: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'):
            raise ValueError("delimiter: must be one character, and no quote or end of line")

    @property
    def separator(self) -> str:
        """The character between the cells of a CSV row."""
        if self.delimiter is not None:
            return self.delimiter
        return "\t" if PurePath(self.name).suffix.lower() == ".tsv" else ","

    def is_csv(self, first_line: bytes) -> bool:
        """Whether an input that begins with `first_line` is to be read as CSV."""
        if self.kind != "auto":
            return self.kind == "csv"
        kind = _SUFFIXES.get(PurePath(self.name).suffix.lower())
        if kind is not None:
            return kind == "csv"
        if self.id_column is not None or self.question_column is not None or self.delimiter is not None:
            return True
        try:
            header = next(csv.reader([first_line.decode().rstrip("\r\n")]), [])
        except (UnicodeDecodeError, csv.Error):
            return False
        return DEFAULT_QUESTION_COLUMN in (name.strip() for name in header)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a CSV row has its question and its custom_id; `width` is the number of the header's cells."""

    width: int
    question: int
    custom_id: int | None


def find_columns(header: list[str], form: InputForm) -> Columns:
    """The columns of `header` that `form` names.

    Raises:
        BadLineError: one is missing, or stands there twice. The text names the column that was asked for, which is
            the user's own option, and none of the header's.
    """
    names = [name.strip() for name in header]
    question = form.question_column or DEFAULT_QUESTION_COLUMN
    custom_id = form.id_column or DEFAULT_ID_COLUMN
    return Columns(
        width=len(names),
        question=_find(names, question, "--question-column"),
        custom_id=None if form.id_column is None and custom_id not in names else _find(names, custom_id, "--id-column"),
    )


def _find(names: list[str], wanted: str, option: str) -> int:
    match names.count(wanted):
        case 0:
            raise BadLineError(
                ErrorCode.MISSING_COLUMN, f'the header has no column "{wanted}"; {option} names another', wanted
            )
        case 1:
            return names.index(wanted)
        case _:
            raise invalid(f'the header has the column "{wanted}" more than once', wanted)
