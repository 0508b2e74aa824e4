"""`sealbatch dev`: the whole system on this machine, for trying out."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, ends_well
from sealbatch.paths import dev_folder
from sealbatch.terminal.help import make_group, verb
from sealbatch.verbs import options as o

app = make_group(
    "The whole system on this machine, without an AWS account.",
    """\
sealbatch dev demo
# to type the other verbs yourself
sealbatch dev up
sealbatch ask "How many weeks of parental leave can I take?"
sealbatch dev down""",
)

MODEL = Annotated[
    Path | None, typer.Option(metavar="DIR", help="A model with its manifest, if not the demonstration's.")
]


def _stack_options(model: Path | None):  # type: ignore[no-untyped-def]  # noqa: ANN202 - its import is late
    need("dev")
    from devstack.stack import StackOptions

    if model is None:
        return StackOptions()
    if not (model / "manifest.json").is_file():
        raise Stop(Exit.USAGE, f"{model} is no folder of a model with a manifest.json")
    return StackOptions(model=model.resolve())


def _activated() -> str:
    """What goes before a verb that no shell finds yet: `make` names the command by its path."""
    if shutil.which("sealbatch"):
        return ""
    place = Path(sys.prefix, "bin", "activate")
    return f". {place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place} && "


@verb(
    app,
    """\
sealbatch dev up
# with a model of your own
sealbatch dev up --model models/bloom-560m""",
)
@ends_well
def up(context: typer.Context, model: MODEL = None) -> None:
    """Start AWS stand-in, enclave and bridge in the background.

    The other verbs can then be typed. Nothing of it is kept: `dev down` or a restart of this machine ends it with
    its keys, queue and bucket.
    """
    options = _stack_options(model)
    from devstack.supervisor import DevError
    from devstack.supervisor import up as start

    face: Face = context.obj
    screen = face.screen()
    try:
        started = start(dev_folder(), options, screen.say)
    except DevError as error:
        raise Stop(Exit.TEMPORARY, str(error)) from None
    state = "runs" if started else "is running already"
    screen.say(f"the development stack {state}; its configuration is {dev_folder()}/sealbatch.toml")
    screen.next_step('sealbatch ask "How many weeks of parental leave can I take?"')


@verb(app, "sealbatch dev down")
@ends_well
def down(context: typer.Context) -> None:
    """Stop the stack.

    Its keys, queue and bucket are gone then, and what was sealed under them stays sealed.
    """
    from devstack.supervisor import DevError
    from devstack.supervisor import down as stop

    face: Face = context.obj
    try:
        stopped = stop(dev_folder())
    except DevError as error:
        raise Stop(Exit.TEMPORARY, str(error)) from None
    screen = face.screen()
    screen.say("the development stack is stopped; nothing of it is kept" if stopped else "no development stack runs")
    screen.next_step("sealbatch dev up")


@verb(app, "sealbatch dev status", "status")
@ends_well
def show(context: typer.Context, as_json: o.JSON = False) -> None:
    """List the stack's processes."""
    from devstack.supervisor import parts

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    rows = parts(dev_folder())
    if not rows:
        screen.say("no development stack runs")
        screen.next_step("sealbatch dev up")
        return
    screen.rows(("part", "pid", "state", "memory_mb"), rows)
    screen.next_step("sealbatch doctor")


@verb(app, "sealbatch dev demo")
@ends_well
def demo(context: typer.Context) -> None:
    """Answer the example questions; show what the host could see.

    It has a stack of its own and disturbs no running one.
    """
    options = _stack_options(None)
    from devstack.demo import run

    face: Face = context.obj
    screen = face.screen()
    code = run(screen, options)
    screen.next_step(f"{_activated()}sealbatch dev up", "to type the other verbs yourself")
    raise typer.Exit(code)


@verb(app, "sealbatch dev demo-nightly", "demo-nightly")
@ends_well
def demo_nightly(context: typer.Context) -> None:
    """Show a night: files in the inbox, answers and a report.

    Disturbs no running stack.
    """
    options = _stack_options(None)
    from devstack.nightly_demo import run

    face: Face = context.obj
    raise typer.Exit(run(face.screen(), options))
