"""Draws what `sealbatch top` shows: for a terminal from 80 columns on, dark or light, and as a line for a pipe.

Colours are the terminal's own sixteen, which its owner chose to be read.
"""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sealbatch.nightly.bridge_view import BridgeView, EnclaveView
from sealbatch.nightly.view import FileView, ScheduleView, View

FEWEST: Final = 3
"""Files that are shown however low the terminal is."""
_BAD: Final = "bold red"


def line(view: View) -> str:
    """A look in one line."""
    waiting = sum(schedule.waiting or 0 for schedule in view.schedules)
    stuck = sum(bool(file.trouble) for file in view.files)
    inside = [enclave for bridge in view.bridges for enclave in bridge.inside]
    parts = [
        f"{view.at:%Y-%m-%dT%H:%M:%SZ}",
        f"queue {_number(view.queued)} waiting {_number(view.in_flight)} in flight",
        f"tasks {_number(view.tasks)}",
        f"inbox {waiting}",
        *([f"enclaves {sum(bool(one.ready) for one in inside)}/{len(inside)}"] if inside else []),
        f"files {len(view.files)}",
        *(f"{file.item} {file.phase} {_number(file.done)}/{_number(file.total)}" for file in view.files[:3]),
        *([f"STUCK {stuck}"] if stuck else []),
    ]
    return "  ".join(parts)


def draw(view: View, height: int | None = None) -> RenderableType:
    """A look as a screen of `height` rows: what is in trouble first, and as many files as there is room for."""
    parts: list[RenderableType] = [*_head(view), Text(), _schedules(view.schedules)]
    used = 6 + len(view.schedules)
    if view.bridges:
        parts += [Text(), _bridges(view.bridges)]
        used += 2 + len(view.bridges)
        inside = [enclave for bridge in view.bridges for enclave in bridge.inside]
        if inside:
            parts += [Text(), _enclaves(inside)]
            used += 2 + len(inside)
    files = sorted(view.files, key=lambda file: not file.trouble)
    bad = sum(bool(file.trouble) for file in files)
    room = len(files) if height is None else max(FEWEST, height - used - bad - 1)
    parts += [Text(), _files(files[:room]) if files else Text("no file is being worked on", style="dim")]
    if len(files) > room:
        parts.append(Text(f"and {len(files) - room} more files", style="dim"))
    parts += [Text.assemble((f"{file.item}  {file.trouble}", _BAD)) for file in files[:room] if file.trouble]
    return Group(*parts)


def _head(view: View) -> tuple[Text, Text]:
    queue = f"{_number(view.queued)} waiting, {_number(view.in_flight)} in flight"
    return (
        Text.assemble(("sealbatch top", "bold"), f"  {view.at:%A %Y-%m-%d %H:%M:%S} UTC"),
        Text.assemble(
            ("redis ", "dim"),
            _state(view.redis),
            ("   beat ", "dim"),
            _state(view.beat),
            ("   tasks ", "dim"),
            _number(view.tasks),
            ("   queue ", "dim"),
            queue,
        ),
    )


def _schedules(schedules: Sequence[ScheduleView]) -> Table:
    table = _table(("schedule", "state", "next (UTC)", "last run", "inbox", "tonight"), numbers=4)
    for one in schedules:
        tonight = f"{one.finished} of {one.files} done" if one.open_runs else ""
        state = Text(one.state, style="yellow" if one.state == "paused" else "")
        following = "" if one.next is None else f"{one.next:%a %H:%M}"
        table.add_row(Text(one.name), state, following, one.last_run, _number(one.waiting), tonight)
    return table


def _bridges(bridges: Sequence[BridgeView]) -> Table:
    table = _table(("bridge", "enclaves", "in flight", "answered", "failed", "retries"), numbers=1)
    for one in bridges:
        numbers = (one.enclaves, one.in_flight, one.answered, one.failed, one.retries)
        table.add_row(Text(one.address, style=_BAD if one.enclaves is None else ""), *map(_number, numbers))
    return table


def _enclaves(enclaves: Sequence[EnclaveView]) -> Table:
    table = _table(("enclave", "state", "tokens/s", "batch", "running", "waiting", "restarts", "memory"), numbers=2)
    for one in enclaves:
        table.add_row(
            Text(one.address),
            Text("ready", style="green") if one.ready else Text("DOWN", style=_BAD),
            _number(one.tokens_per_second),
            "?" if one.batch_occupancy_ratio is None else f"{one.batch_occupancy_ratio:.0%}",
            _number(one.sequences_in_flight),
            _number(one.sequences_waiting),
            _number(one.engine_restarts),
            "?" if one.memory_bytes is None else f"{one.memory_bytes / 2**30:,.1f} GiB",
        )
    return table


def _files(files: Sequence[FileView]) -> Table:
    table = _table(("file", "schedule", "phase"))
    table.expand = True
    table.columns[1].max_width = 16
    table.add_column("progress", ratio=1, min_width=10)
    table.add_column("", justify="right", no_wrap=True)
    for one in files:
        bar = ProgressBar(
            total=one.total or 1,
            completed=one.done or 0,
            style="bright_black",
            complete_style="red" if one.trouble else "cyan",
            finished_style="green",
        )
        share = "" if one.total is None else f"{_number(one.done)}/{one.total:,}"
        table.add_row(Text(one.item, style=_BAD if one.trouble else ""), Text(one.schedule), one.phase, bar, share)
    return table


def _table(columns: Sequence[str], *, numbers: int | None = None) -> Table:
    """A table of cells that are never broken; columns from `numbers` on are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for at, column in enumerate(columns):
        right = numbers is not None and at >= numbers
        table.add_column(column, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    return table


def _state(up: bool | None) -> tuple[str, str]:
    return ("?", "dim") if up is None else ("up", "green") if up else ("DOWN", _BAD)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"
