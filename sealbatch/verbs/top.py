"""`sealbatch top`: the night as it goes on."""

import time
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sealbatch.face import Face, ends_well
from sealbatch.nightly.extra import need_nightly
from sealbatch.verbs import questions as q

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sealbatch.nightly.view import FileView, View

EXAMPLES = """Examples:
sealbatch top
sealbatch top --bridge 127.0.0.1:9464
sealbatch top --once --json | jq .files"""

EVERY = 2.0
"""Seconds between two looks."""


@ends_well
def command(
    context: typer.Context,
    bridge: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="A bridge's --health address; may be given again.")
    ] = None,
    once: Annotated[bool, typer.Option(help="Look once and end.")] = False,
    as_json: q.JSON = False,
) -> None:
    """Watch queue, bridges, schedules and the night's files.

    Drawn anew every two seconds on a terminal; in a pipe, a line or a JSON object for each look.
    """
    need_nightly()
    import json

    from rich.console import Console
    from rich.live import Live

    from sealbatch.clients import Connector
    from sealbatch.nightly.assembly import Nights
    from sealbatch.nightly.clock import entry_clock
    from sealbatch.nightly.plan import read_plan
    from sealbatch.nightly.view import look

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    plan = read_plan(face.config(screen))
    sqs: Any = Connector(plan.config, plan.config.resources.profiles.bridge).client("sqs")
    nights = Nights(plan, entry_clock())

    def seen() -> "View":
        return look(nights, sqs, tuple(bridge or ()))

    if screen.tables and not once:
        with Live(draw(seen()), console=Console(highlight=False), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(EVERY)
                live.update(draw(seen()), refresh=True)
    while True:
        view = seen()
        if screen.tables:
            Console(highlight=False).print(draw(view))
        else:
            screen.data(json.dumps(asdict(view), default=_plain) if as_json else line(view))
        if once:
            return
        time.sleep(EVERY)


def line(view: "View") -> str:
    """A look in one line."""
    waiting = sum(schedule.waiting or 0 for schedule in view.schedules)
    stuck = sum(bool(file.trouble) for file in view.files)
    parts = [
        f"{view.at:%H:%M:%S}",
        f"queue {_number(view.queued)} waiting {_number(view.in_flight)} in flight",
        f"tasks {_number(view.tasks)}",
        f"inbox {waiting}",
        f"files {len(view.files)}",
        *(f"{file.item} {file.phase} {_number(file.done)}/{_number(file.total)}" for file in view.files[:3]),
    ]
    return "  ".join([*parts, *([f"STUCK {stuck}"] if stuck else [])])


def draw(view: "View") -> "RenderableType":
    """A look as a screen."""
    from rich.console import Group
    from rich.text import Text

    from sealbatch.screen import make_table

    head = Text.assemble(
        ("sealbatch top", "bold"),
        f"  {view.at:%Y-%m-%d %H:%M:%S} UTC   ",
        ("redis ", "dim"),
        ("up" if view.redis else "DOWN", "green" if view.redis else "bold red"),
        ("   beat ", "dim"),
        _state(view.beat),
        ("   tasks ", "dim"),
        _number(view.tasks),
        ("   queue ", "dim"),
        f"{_number(view.queued)} waiting, {_number(view.in_flight)} in flight",
    )
    schedules = [
        {
            "schedule": schedule.name,
            "state": schedule.state,
            "next_utc": "" if schedule.next is None else f"{schedule.next:%a %H:%M}",
            "inbox": schedule.waiting,
            "open_runs": schedule.open_runs,
            "last_run": schedule.last_run,
        }
        for schedule in view.schedules
    ]
    parts: list[RenderableType] = [head, Text(), make_table(tuple(schedules[0]), schedules)]
    if view.bridges:
        bridges = [{name: _known(value) for name, value in asdict(one).items()} for one in view.bridges]
        parts += [Text(), make_table(tuple(bridges[0]), bridges)]
    parts += [Text(), _files(view) if view.files else Text("no file is being worked on", style="dim")]
    return Group(*parts)


def _files(view: "View") -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for name in ("schedule", "file", "phase", "progress", "", "trouble"):
        table.add_column(name, ratio=2 if name == "progress" else None)
    for file in view.files:
        bar = ProgressBar(total=file.total or 1, completed=file.done or 0, width=None)
        table.add_row(file.schedule, file.item, file.phase, bar, _share(file), Text(file.trouble, style="bold red"))
    return table


def _share(file: "FileView") -> str:
    return "" if file.total is None else f"{_number(file.done)}/{file.total:,}"


def _state(beat: bool | None) -> tuple[str, str]:
    return ("?", "dim") if beat is None else ("up", "green") if beat else ("DOWN", "bold red")


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _known(value: Any) -> Any:
    return "?" if value is None else value


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
