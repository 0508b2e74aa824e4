"""Reads rows of a CSV that `fetch` wrote back into what was signed about them.

A row states neither its job nor its number nor its receipt: rows stand in the order of records, and the evidence says
the rest. A cell that a spreadsheet would run as a formula has an apostrophe before it, which a text may also begin with
by itself: such a row is read both ways. A control character cannot be told any more from U+FFFD in its place.
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product

from results_consumer.output import CSV_COLUMNS, FORMULA, LineOrigin, attested_line, record_error, row, unattested_line
from results_consumer.output_reader import MAX_LINE, LineError, ReadLine, own_detail
from wire.payload import ErrorCode, Outcome, Result

csv.field_size_limit(sys.maxsize)  # one for the whole process; what bounds a cell here is its row's size


class _RowFeed:
    """Gives the csv module a row's lines, and no more of them than a row may have."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.size += len(line)
        if self.size > MAX_LINE:
            raise LineError
        return line.decode()


def read_rows(lines: Iterable[bytes], job: str) -> Iterator[tuple[ReadLine, ...]]:
    """Of each row of a CSV the lines that it may stand for, at least one, in the order of the job's records.

    Raises:
        LineError: it is not what `fetch` wrote.
    """
    feed = _RowFeed(lines)
    rows = csv.reader(feed, strict=True)
    try:
        if next(rows, None) != list(CSV_COLUMNS):
            raise LineError
        for number, found in enumerate(rows):
            feed.size = 0
            named = [dict(zip(CSV_COLUMNS, cells, strict=True)) for cells in product(*map(_spellings, found))]
            yield tuple(_line(job, number, cells) for cells in named)
    except (csv.Error, ValueError, KeyError):
        raise LineError from None


def _spellings(cell: str) -> tuple[str, ...]:
    """The texts that `fetch` writes as this cell."""
    return (cell, cell[1:]) if cell.startswith("'") and cell[1:].startswith(FORMULA) else (cell,)


def _line(job: str, number: int, cells: dict[str, str]) -> ReadLine:
    outcome, attested = Outcome(cells["outcome"]), {"true": True, "false": False}[cells["attested"]]
    error = ErrorCode(cells["error_code"]) if outcome is Outcome.ERRORED else None
    origin = LineOrigin(job, chunk=0, created=0)
    result = _result(number, outcome, error, cells) if attested else None
    if result is None:
        place = int(cells["line"]) if cells["line"] else None
        line = unattested_line(origin, number, outcome, error)
        told = record_error(outcome, error, cells["error_message"])
        line = replace(line, line=place, custom_id=cells["custom_id"], error=told)
    else:
        line = attested_line(origin, result)
    return ReadLine(
        job=job,
        number=number,
        outcome=outcome,
        attested=attested,
        receipt=None,
        model=None,
        result=result,
        agrees=row(line) == tuple(cells.values()),
        states_receipt=False,
    )


def _result(number: int, outcome: Outcome, error: ErrorCode | None, cells: dict[str, str]) -> Result:
    return Result(
        number=number,
        line=int(cells["line"]),
        custom_id=cells["custom_id"],
        outcome=outcome,
        text=cells["answer"],
        finish_reason=cells["finish_reason"],  # type: ignore[arg-type]  # compared with what was signed
        prompt_tokens=int(cells["prompt_tokens"]),
        completion_tokens=int(cells["completion_tokens"]),
        error=error,
        detail=own_detail(outcome, error, cells["error_message"]),
    )
