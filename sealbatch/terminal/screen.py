"""What people see: talk and progress on standard error, tables or JSON lines on standard output."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sealbatch.progress import Told, ignore

if TYPE_CHECKING:
    from rich.console import Console


class Screen:
    """Standard output and standard error of one command. What draws on them is imported when something is drawn."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False, fleeting: bool = False) -> None:
        """`fleeting` progress leaves nothing behind: for what takes a moment."""
        self.quiet = quiet
        self.as_json = as_json
        self._fleeting = fleeting

    @cached_property
    def _talk(self) -> "Console":
        return console(stderr=True)

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

            console().print(Text(printable(text)))
        else:
            self.data(text)

    def rows(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """A table on a terminal, else a JSON line for each row with all its fields."""
        if not self.tables:
            for row in rows:
                self.data(json.dumps(row, ensure_ascii=False))
        elif rows:
            from sealbatch.terminal.tables import print_rows

            print_rows(console(), columns, rows)

    @contextmanager
    def progress(self) -> Iterator[Told]:
        """What tells progress while inside: bars on a terminal, a line now and then elsewhere, nothing if `quiet`."""
        from sealbatch.terminal.meter import Lines, bars

        on_terminal = self._talk.is_terminal and not self._talk.is_dumb_terminal
        if self.quiet or (self._fleeting and not on_terminal):
            yield ignore
        elif on_terminal:
            with bars(self._talk, fleeting=self._fleeting) as tell:
                yield tell
        else:
            yield Lines(self._talk).tell


def printable(text: str) -> str:
    """`text` without what would act on a terminal: control characters other than newline and tab become U+FFFD."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def console(*, stderr: bool = False) -> "Console":
    """Standard output or error as rich draws on it; with `NO_COLOR` (https://no-color.org) nothing is bold or dim."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")
