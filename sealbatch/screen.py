"""What people see: talk and progress on standard error, tables or JSON lines on standard output."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sealbatch.meter import Meter


_LOOKS: Final = {
    **dict.fromkeys(("ok", "completed"), "green"),
    **dict.fromkeys(("warning", "paused"), "yellow"),
    **dict.fromkeys(("error", "stalled", "exited"), "red"),
}
"""What a cell looks like that holds nothing but such a word."""
_WHOLE: Final = frozenset({"job", "created", "last_run"})
"""Columns that are copied: where room is short, others are folded."""


class Screen:
    """Standard output and standard error of one command. What draws on them is imported when something is drawn."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False, fleeting: bool = False) -> None:
        """`fleeting` progress leaves nothing behind: for what takes a moment."""
        self.quiet = quiet
        self.as_json = as_json
        self._fleeting = fleeting

    @cached_property
    def _talk(self) -> "Console":
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    @property
    def tables(self) -> bool:
        """Whether data goes out as tables for people instead of JSON lines."""
        return not self.as_json and sys.stdout.isatty()

    def say(self, text: str) -> None:
        """Talk; silent under `--quiet`."""
        if not self.quiet:
            self._talk.print(printable(text), markup=False, soft_wrap=not self._talk.is_terminal)

    def next_step(self, text: str, why: str = "") -> None:
        """Name the verb that comes after this one, for people: neither under `--quiet` nor with `--json`."""
        from rich.text import Text

        if not self.quiet and not self.as_json:
            reason = f"  # {why}" if why else ""
            self._talk.print(
                Text.assemble(("next: ", "dim"), (printable(text), "bold"), (reason, "dim")), soft_wrap=True
            )

    def complain(self, text: str) -> None:
        """An error: always said."""
        from rich.text import Text

        self._talk.print(
            Text.assemble(("sealbatch: ", "bold red"), printable(text)), soft_wrap=not self._talk.is_terminal
        )

    def data(self, text: str) -> None:
        """One line of data."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def prose(self, text: str) -> None:
        """Text for reading: on a terminal broken between words and free of control codes, else as it is."""
        if sys.stdout.isatty():
            from rich.text import Text

            _printer().print(Text(printable(text)))
        else:
            self.data(text)

    def rows(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
        """A table on a terminal, else a JSON line for each row with all its fields."""
        if not self.tables:
            for row in rows:
                self.data(json.dumps(row, ensure_ascii=False))
        elif rows:
            _printer().print(make_table(columns, rows, title=title))

    @contextmanager
    def meter(self) -> Iterator["Meter"]:
        """Progress while inside: a bar on a terminal, a line now and then elsewhere, nothing under `--quiet`."""
        from sealbatch.meter import Lines, Silence, bars

        if self.quiet:
            yield Silence()
        elif self._talk.is_terminal and not self._talk.is_dumb_terminal:
            with bars(self._talk, fleeting=self._fleeting) as meter:
                yield meter
        elif self._fleeting:
            yield Silence()
        else:
            yield Lines(self._talk)


def make_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> "Table":
    """A table of the `columns` of `rows`; content is shown as text and never as markup or control codes."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold"
    )
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(
            column.replace("_", " "),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=column in _WHOLE,
        )
    for row in rows:
        cells = ("" if row.get(column) is None else printable(str(row[column])) for column in columns)
        table.add_row(*(Text(cell, style=_LOOKS.get(cell, "")) for cell in cells))
    return table


def printable(text: str) -> str:
    """`text` without what would act on a terminal: control characters other than newline and tab become U+FFFD."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _printer() -> "Console":
    from rich.console import Console

    return Console(highlight=False)
