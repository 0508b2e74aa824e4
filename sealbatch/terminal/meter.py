"""How a verb says how far it is: bars on a terminal, lines in a log."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

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
from rich.text import Text

from sealbatch.progress import Progress as State
from sealbatch.progress import Told

PLAIN_EVERY: Final = 5.0
"""Seconds between progress lines where there is no terminal to draw a bar on."""


class _Bars:
    """One bar for each thing that is counted."""

    def __init__(self, progress: "_Noted") -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def tell(self, state: State) -> None:
        """Move the bar."""
        self._progress.note = state.note
        if state.what not in self._tasks:
            self._tasks[state.what] = self._progress.add_task(
                state.what, total=state.total, completed=state.done, begun=state.done
            )
        self._progress.update(self._tasks[state.what], completed=state.done, total=state.total)


class Lines:
    """Lines, at most one in `PLAIN_EVERY` seconds for each thing, and one at its end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[float, int, str]] = {}
        self._began: dict[str, tuple[float, int]] = {}

    def tell(self, state: State) -> None:
        """Write a line if it is time."""
        what, done, total, note = state.what, state.done, state.total, state.note
        now = time.monotonic()
        began, first = self._began.setdefault(what, (now, done))
        when, before, said = self._said.get(what, (began, -1, ""))
        finished = total is not None and done >= total
        if (done, note) == (before, said) or (now - when < PLAIN_EVERY and not finished):
            return
        self._said[what] = (now, done, note)
        elapsed, more = now - began, done - first
        rate = f", {more / elapsed:,.1f}/s" if elapsed > 0 and more > 0 else ""
        left = f", {spell(elapsed / more * (total - done))} left" if total and more > 0 and not finished else ""
        of = "" if total is None else f" of {total:,}"
        noted = f" ({note})" if note else ""
        self._console.print(f"{what}: {done:,}{of}{noted}{rate}{left}", markup=False, soft_wrap=True)


def spell(seconds: float) -> str:
    """A time in its two largest units, such as 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@contextmanager
def bars(console: Console, *, fleeting: bool) -> Iterator[Told]:
    """Bars on a terminal while inside; `fleeting` ones leave nothing behind."""
    progress = _Noted(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        transient=fleeting,
    )
    with progress:
        yield _Bars(progress).tell


class _Rate(ProgressColumn):
    """Steps a second, over the whole task but for what was done before it began."""

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        done = task.completed - task.fields["begun"]
        if not elapsed or done <= 0:
            return Text("", style="cyan")
        return Text(f"{done / elapsed:,.1f}/s", style="cyan")


class _Noted(Progress):
    """Bars, and a line below them."""

    note = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn."""
        yield from super().get_renderables()
        if self.note:
            yield Text(f"  {self.note}", style="dim", overflow="ellipsis", no_wrap=True)
