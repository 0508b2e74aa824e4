"""CSV with a header row: one question a row, line breaks inside quotes allowed.

A row that cannot be read is skipped where its end is certain: it stands on one line, and its quotes are paired. If
not, reading stops there, because text inside a broken row could pass for questions.
"""

import csv
import sys
from collections.abc import Iterator

from producer.draft import Draft, broken
from producer.fields import check_size, read_custom_id, read_question, text_bytes
from producer.forms import Columns, InputForm, find_columns
from producer.lines import MAX_LINE, Line, decode
from producer.problem import BadLineError, invalid
from wire.payload import ErrorCode, Message, Params

csv.field_size_limit(sys.maxsize)  # one for the whole process; what bounds a cell here is its row's size


class _RowFeed:
    """Gives the csv module one row's lines, and remembers what decides whether the row's end is certain."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self.begin()

    def begin(self) -> None:
        """A new row begins with the next line."""
        self.first = 0
        self._last = 0
        self._size = 0
        self._quotes = 0

    @property
    def end_is_certain(self) -> bool:
        """Whether the next line begins a new row, even if this one could not be read."""
        return self.first == self._last and self._quotes % 2 == 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.first = self.first or line.number
        self._last = line.number
        self._quotes += line.quotes or line.data.count(b'"')
        self._size += len(line.data)
        if self._size > MAX_LINE:
            raise BadLineError(ErrorCode.LINE_TOO_LONG, f"the row is longer than {MAX_LINE} bytes")
        return decode(line)


def read_csv(lines: Iterator[Line], form: InputForm, defaults: Params) -> Iterator[Draft]:
    """The rows below the header; rows with nothing but blanks in them are passed over."""
    feed = _RowFeed(lines)
    columns: Columns | None = None
    while True:
        feed.begin()
        try:
            # A reader of its own for each row, because an error leaves a csv.reader within the row.
            row = next(csv.reader(feed, delimiter=form.separator, strict=True), None)
        except (BadLineError, csv.Error) as error:
            yield broken(_as_bad_line(error).at(feed.first, fatal=columns is None or not feed.end_is_certain))
            if columns is None or not feed.end_is_certain:
                return
            continue
        if row is None:
            return
        if not "".join(row).strip():
            continue
        if columns is None:
            try:
                columns = find_columns(row, form)
            except BadLineError as error:
                yield broken(error.at(feed.first, fatal=True))
                return
        else:
            yield _read_row(feed.first, row, columns, defaults)


def _read_row(line: int, row: list[str], columns: Columns, defaults: Params) -> Draft:
    custom_id = None
    try:
        if len(row) != columns.width:
            raise invalid(f"the row has {len(row)} cells, the header {columns.width}")
        if columns.custom_id is not None:
            custom_id = read_custom_id(row[columns.custom_id].strip())
        text = read_question(row[columns.question], "question")
        check_size(text_bytes(text), "question")
    except BadLineError as error:
        return broken(error.at(line), custom_id)
    return Draft(line, custom_id, (Message("user", text),), defaults)


def _as_bad_line(error: BadLineError | csv.Error) -> BadLineError:
    if isinstance(error, BadLineError):
        return error
    return invalid("not a CSV row: a quote or a line break is out of place")
