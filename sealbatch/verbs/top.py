"""`sealbatch top`: the night as it goes on."""

import time
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sealbatch.face import Face, ends_well
from sealbatch.terminal.screen import console
from sealbatch.verbs import options as o

if TYPE_CHECKING:
    from sealbatch.nightly.view import View

EXAMPLES = """\
sealbatch top
# with what a bridge says of itself
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
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    as_json: o.JSON = False,
) -> None:
    """Watch queue, bridges, schedules and the night's files.

    Drawn anew every two seconds on a terminal; in a pipe, a line or a JSON object for each look.
    """
    import json

    from rich.live import Live

    from sealbatch.aws.clients import Connector
    from sealbatch.nightly.assembly import Nights
    from sealbatch.nightly.board import draw, line
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
        terminal = console()
        with Live(draw(seen(), terminal.size.height), console=terminal, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(EVERY)
                live.update(draw(seen(), terminal.size.height), refresh=True)
    while True:
        view = seen()
        if screen.tables:
            console().print(draw(view))
        else:
            screen.data(json.dumps(asdict(view), default=_plain) if as_json else line(view))
        if once:
            return
        time.sleep(EVERY)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
