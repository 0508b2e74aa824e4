"""Rows as people read them: a table where it fits, and else what is long below what is short."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from sealbatch.terminal.screen import printable

SHORT: Final = 20
"""Characters of a cell that is never broken, such as a date with its time."""
WHOLE: Final = frozenset({"job", "created", "last_run"})
"""Columns that are copied: where room is short, others are broken."""
NARROWEST: Final = 8
"""Characters of a column whose words are broken."""
GAP: Final = 2
BELOW: Final = "    "
_LOOKS: Final = {
    **dict.fromkeys(("ok", "completed"), "green"),
    **dict.fromkeys(("warning", "paused"), "yellow"),
    **dict.fromkeys(("error", "stalled", "exited"), "red"),
}
"""What a cell looks like that holds nothing but such a word."""

Rows = Sequence[Mapping[str, Any]]


def print_rows(console: Console, columns: Sequence[str], rows: Rows) -> None:
    """Print the `columns` of `rows`, such that no word is broken that the terminal has room for."""
    widths = _widths(columns, rows, console.width)
    if widths is None:
        console.print(_listed(columns, rows, console.width), soft_wrap=True)
    else:
        console.print(make_table(columns, rows, widths=widths))


def make_table(
    columns: Sequence[str], rows: Rows, *, title: str | None = None, widths: Sequence[int] | None = None
) -> Table:
    """A table of the `columns` of `rows`; content is shown as text and never as markup or control codes."""
    table = Table(
        title=title, title_justify="left", box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold"
    )
    given: Sequence[int | None] = widths or [None] * len(columns)
    for column, width in zip(columns, given, strict=True):
        justify: JustifyMethod = "right" if _numeric(column, rows) else "left"
        table.add_column(_head(column), justify=justify, overflow="fold", width=width)
    for row in rows:
        cells = (_cell(row, column) for column in columns)
        table.add_row(*(Text(cell, style=_LOOKS.get(cell, "")) for cell in cells))
    return table


def _widths(columns: Sequence[str], rows: Rows, width: int) -> list[int] | None:
    """How wide each column is, the widest made narrower until all have room; None if the rows are better listed.

    That is where a word is too long and nothing short stands behind it, or where even broken it leaves no room: rich
    drops columns of a table that is too wide.
    """
    wide, least = [], []
    for column in columns:
        cells = [_cell(row, column) for row in rows]
        words = [word for cell in cells for word in ([cell] if cell_len(cell) <= SHORT else cell.split())]
        wide.append(max(cell_len(text) for text in [_head(column), *cells]))
        least.append(max(cell_len(word) for word in [*_head(column).split(), *words]))
    room = width - GAP * (len(columns) - 1)
    if sum(least) > room:
        long = max((at for at, column in enumerate(columns) if column not in WHOLE), key=least.__getitem__)
        least[long] = max(NARROWEST, room - (sum(least) - least[long]))
        if sum(least) > room or all(behind > SHORT for behind in wide[long + 1 :]):
            return None
    while sum(wide) > room:
        wide[max((at for at in range(len(wide)) if wide[at] > least[at]), key=wide.__getitem__)] -= 1
    return wide


def _listed(columns: Sequence[str], rows: Rows, width: int) -> Text:
    """Beside each other what stands before the column of the longest word, then that one; what has no room, below."""
    heads = {column: _head(column) for column in columns}
    cells = [{column: _cell(row, column) for column in columns} for row in rows]
    words = {column: [word for row in cells for word in row[column].split()] for column in columns}
    long = max(columns, key=lambda column: max(map(cell_len, words[column]), default=0))
    sizes: dict[str, int] = {}
    for column in columns[: columns.index(long)]:
        size = max(cell_len(row[column]) for row in [heads, *cells])
        if sum(sizes.values()) + size + GAP * len(sizes) > width:
            long = column
            break
        sizes[column] = size
    at = columns.index(long)
    right = {column: _numeric(column, rows) for column in sizes}
    room = width - sum(size + GAP for size in sizes.values())
    lines = [Text.assemble(*(_padded(heads[column], sizes[column], right[column]) for column in sizes), heads[long])]
    lines[0].stylize("bold")
    for row in cells:
        fits = cell_len(row[long]) <= room
        short = (_padded(row[column], sizes[column], right[column]) for column in sizes)
        lines.append(Text.assemble(*short, row[long] if fits else ""))
        rest = [] if fits else [row[long]]
        rest += [f"{heads[column]}: {row[column]}" for column in columns[at + 1 :] if row[column]]
        lines += [Text(_below(text, width)) for text in rest]
    return Text("\n").join(lines)


def _below(text: str, width: int) -> str:
    """Broken between words alone: one that is too long is left to the terminal, from which it can be copied whole."""
    lines = textwrap.wrap(text, max(1, width - len(BELOW)), break_long_words=False, break_on_hyphens=False)
    return textwrap.indent("\n".join(lines), BELOW)


def _padded(cell: str, size: int, right: bool) -> tuple[str, str]:
    space = " " * (size - cell_len(cell))
    return f"{space if right else ''}{cell}{'' if right else space}{' ' * GAP}", _LOOKS.get(cell, "")


def _head(column: str) -> str:
    return column.replace("_", " ")


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else printable(str(value))


def _numeric(column: str, rows: Rows) -> bool:
    return any(isinstance(row.get(column), int | float) for row in rows)
