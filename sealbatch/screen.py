"""What people see: talk and progress on standard error, tables or JSON lines on standard output."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

PLAIN_EVERY: Final = 5.0
"""Seconds between progress lines where there is no terminal to draw a bar on."""


class Meter(Protocol):
    """Where a verb says how far it is."""

    def update(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """`done` of `total` (None if unknown) of `what`; `note` is what else there is to say, and may change."""


class Screen:
    """Standard output and standard error of one command."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False, fleeting: bool = False) -> None:
        """`fleeting` progress leaves nothing behind: for what takes a moment."""
        self.quiet = quiet
        self.as_json = as_json
        self._fleeting = fleeting
        self._talk = Console(stderr=True, highlight=False)

    @property
    def tables(self) -> bool:
        """Whether data goes out as tables for people instead of JSON lines."""
        return not self.as_json and sys.stdout.isatty()

    def say(self, text: str) -> None:
        """Talk; silent under `--quiet`."""
        if not self.quiet:
            self._talk.print(printable(text), markup=False, soft_wrap=not self._talk.is_terminal)

    def next_step(self, text: str) -> None:
        """Name the verb that comes after this one."""
        if not self.quiet:
            self._talk.print(Text("next: ", style="dim") + Text(text, style="bold"), soft_wrap=True)

    def complain(self, text: str) -> None:
        """An error: always said."""
        self._talk.print(
            Text("sealbatch: ", style="bold red") + Text(printable(text)), soft_wrap=not self._talk.is_terminal
        )

    def data(self, text: str) -> None:
        """One line of data."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def prose(self, text: str) -> None:
        """Text for reading: on a terminal broken between words and free of control codes, else as it is."""
        if sys.stdout.isatty():
            Console(highlight=False).print(Text(printable(text)))
        else:
            self.data(text)

    def rows(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
        """A table on a terminal, else a JSON line for each row with all its fields."""
        if not self.tables:
            for row in rows:
                self.data(json.dumps(row, ensure_ascii=False))
            return
        Console(highlight=False).print(make_table(columns, rows, title=title))

    @contextmanager
    def meter(self) -> Iterator[Meter]:
        """Progress while inside: a bar on a terminal, a line now and then elsewhere, nothing under `--quiet`."""
        if self.quiet:
            yield _Silent()
        elif self._talk.is_terminal and not self._talk.is_dumb_terminal:
            with _bar(self._talk, fleeting=self._fleeting) as progress:
                yield _Bar(progress)
        elif self._fleeting:
            yield _Silent()
        else:
            yield _Plain(self._talk)


def make_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> Table:
    """A table of the `columns` of `rows`; content is shown as text and never as markup or control codes."""
    table = Table(
        title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold"
    )
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if row.get(column) is None else printable(str(row[column]))) for column in columns))
    return table


class _Rate(ProgressColumn):
    """Steps a second, over the whole task but for what was done before it began."""

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        done = task.completed - task.fields["begun"]
        if not elapsed or done <= 0:
            return Text("", style="progress.data.speed")
        return Text(f"{done / elapsed:,.1f}/s", style="progress.data.speed")


class _Noted(Progress):
    """Bars, and a line below them."""

    note = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn."""
        yield from super().get_renderables()
        if self.note:
            yield Text(f"  {self.note}", style="dim", overflow="ellipsis", no_wrap=True)


def _bar(console: Console, *, fleeting: bool) -> _Noted:
    return _Noted(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        transient=fleeting,
    )


class _Silent:
    def update(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """Say nothing."""


class _Bar:
    """One bar for each thing that is counted."""

    def __init__(self, progress: _Noted) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def update(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """Move the bar."""
        self._progress.note = note
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, completed=done, begun=done)
        self._progress.update(self._tasks[what], completed=done, total=total)


class _Plain:
    """Lines, at most one in `PLAIN_EVERY` seconds for each thing, and one at its end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[float, int, str]] = {}
        self._began: dict[str, tuple[float, int]] = {}

    def update(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """Write a line if it is time."""
        now = time.monotonic()
        began, first = self._began.setdefault(what, (now, done))
        when, before, said = self._said.get(what, (began, -1, ""))
        finished = total is not None and done >= total
        if (done, note) == (before, said) or (now - when < PLAIN_EVERY and not finished):
            return
        self._said[what] = (now, done, note)
        elapsed, more = now - began, done - first
        rate = f", {more / elapsed:,.1f}/s" if elapsed > 0 and more > 0 else ""
        left = f", {elapsed / more * (total - done):,.0f} s left" if total and more > 0 and not finished else ""
        of = "" if total is None else f" of {total:,}"
        noted = f" ({note})" if note else ""
        self._console.print(f"{what}: {done:,}{of}{noted}{rate}{left}", markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """`text` without what would act on a terminal: control characters other than newline and tab become U+FFFD."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
