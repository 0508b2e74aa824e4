"""`sealbatch schedule`: the nightly jobs that the configuration describes."""

from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, ends_well
from sealbatch.terminal import complete
from sealbatch.terminal.help import make_group, verb
from sealbatch.verbs import options as o

if TYPE_CHECKING:
    from sealbatch.nightly.assembly import Nights
    from sealbatch.nightly.plan import Finding, Plan
    from sealbatch.nightly.runs import Runs
    from sealbatch.nightly.schedule import Schedule
    from sealbatch.terminal.screen import Screen

app = make_group(
    "Nightly jobs, from the inbox to the morning report.",
    """\
# every fault of the schedules with its line, and when they fire
sealbatch schedule check
sealbatch schedule ls""",
)

NAME = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", autocompletion=complete.schedules)]
OPTIONAL_NAME = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="One schedule; all if none is named.", autocompletion=complete.schedules),
]
FIRINGS = 5
MEND = "correct these lines, and type the same again"


@verb(app, "sealbatch schedule ls", "ls")
@ends_well
def ls(context: typer.Context, as_json: o.JSON = False) -> None:
    """List the schedules, and when each fires next.

    Also what each is doing, and how many files wait in its inbox.
    """
    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    plan = _plan(face, screen)
    from sealbatch.nightly.assembly import Nights
    from sealbatch.nightly.clock import entry_clock

    nights = Nights(plan, entry_clock())
    rows = [_row(schedule, nights) for schedule in plan.schedules]
    columns = ("schedule", "next_local", "state", "last_run", "open_runs", "waiting")
    screen.rows(columns, rows)
    screen.next_step("sealbatch schedule check")


@verb(
    app,
    """\
sealbatch schedule next
sealbatch schedule next benefits -n 30""",
    "next",
)
@ends_well
def following(
    context: typer.Context,
    name: OPTIONAL_NAME = None,
    most: Annotated[
        int, typer.Option("-n", metavar="N", min=1, max=1000, help="Show so many firings of each.")
    ] = FIRINGS,
    as_json: o.JSON = False,
) -> None:
    """Show the next firings, in local time and in UTC."""
    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    plan = _plan(face, screen)
    chosen = plan.schedules if name is None else (plan.schedule(name),)
    _show_firings(screen, chosen, most)
    screen.next_step("sealbatch schedule ls")


@verb(
    app,
    """\
sealbatch schedule check
sealbatch --config new.toml schedule check benefits""",
    "check",
)
@ends_well
def check(context: typer.Context, name: OPTIONAL_NAME = None, as_json: o.JSON = False) -> None:
    """Check the schedules line by line, and explain when they fire."""
    need("nightly")
    from sealbatch.nightly.clock import entry_clock
    from sealbatch.nightly.lint import lint
    from sealbatch.nightly.plan import ERROR, PlanError, read_plan

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    config = face.config(screen)
    try:
        plan = read_plan(config)
    except PlanError as error:
        _show_findings(screen, config.source, error.findings)
        raise Stop(
            Exit.CONFIGURATION, f"{config.source}: {len(error.findings)} faults; nothing would run", MEND
        ) from None
    chosen = plan.schedules if name is None else (plan.schedule(name),)
    findings = [one for one in lint(plan, entry_clock().now()) if name is None or one.schedule in {name, ""}]
    _show_findings(screen, config.source, findings)
    for schedule in chosen:
        screen.say(f"{schedule.name}: {schedule.when.explain()}, {schedule.time_zone}")
    _show_firings(screen, chosen, FIRINGS)
    errors = sum(finding.level == ERROR for finding in findings)
    if errors:
        raise Stop(Exit.CONFIGURATION, f"{config.source}: {errors} fault{'s' * (errors != 1)}", MEND)
    screen.say(f"{config.source}: no faults, {len(findings)} warning{'s' * (len(findings) != 1)}")
    screen.next_step("sealbatch worker", "and, once, sealbatch beat")


@verb(app, "sealbatch schedule run-now benefits && sealbatch top", "run-now")
@ends_well
def run_now(context: typer.Context, name: NAME) -> None:
    """Begin a run now; prints its id.

    It comes beside those of the schedule. The workers do the rest.
    """
    face: Face = context.obj
    screen = face.screen()
    runs = _runs(face, screen, name)
    run = runs.begin(runs.clock.now(), manual=True)
    screen.data(run)
    screen.say(f"it takes files until {_local(runs.picks_up_until(run), runs.schedule)}, and reports after that")
    screen.next_step("sealbatch top")


@verb(app, "sealbatch schedule drop benefits questions.jsonl mail.csv", "drop")
@ends_well
def drop(
    context: typer.Context,
    name: NAME,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of questions.")],
) -> None:
    """Put files into a schedule's inbox; prints where they are.

    Into an inbox in S3 they are sealed; anywhere they appear whole.
    """
    face: Face = context.obj
    screen = face.screen()
    plan = _plan(face, screen)
    from sealbatch.aws.clients import producer_clients
    from sealbatch.nightly.drop import DropError, drop_file, drop_sealed

    schedule = plan.schedule(name)
    tenant = schedule.tenant or plan.config.resources.tenant
    for file in files:
        try:
            if schedule.in_s3:
                clients = producer_clients(plan.config)
                screen.data(drop_sealed(file, schedule, clients.s3, clients.kms, str(tenant)))
            else:
                screen.data(drop_file(file, schedule))
        except DropError as error:
            raise Stop(Exit.USAGE, str(error)) from None
    screen.next_step(f"sealbatch schedule next {name}")


@verb(app, "sealbatch schedule pause benefits", "pause")
@ends_well
def pause(context: typer.Context, name: NAME) -> None:
    """Let no run begin until resume; what has begun goes on."""
    face: Face = context.obj
    screen = face.screen()
    screen.say(f"{name} is paused" if _runs(face, screen, name).pause() else f"{name} is paused already")
    screen.next_step(f"sealbatch schedule resume {name}")


@verb(app, "sealbatch schedule resume benefits", "resume")
@ends_well
def resume(context: typer.Context, name: NAME) -> None:
    """Let runs begin again, from now on.

    Those missed meanwhile are not caught up; their files still wait in the inbox.
    """
    face: Face = context.obj
    screen = face.screen()
    screen.say(f"{name} goes on" if _runs(face, screen, name).resume() else f"{name} was not paused")
    screen.next_step(f"sealbatch schedule next {name}")


def _plan(face: Face, screen: "Screen") -> "Plan":
    need("nightly")
    from sealbatch.nightly.plan import read_plan

    return read_plan(face.config(screen))


def _runs(face: Face, screen: "Screen", name: str) -> "Runs":
    schedule = _plan(face, screen).schedule(name)
    from sealbatch.nightly.clock import entry_clock
    from sealbatch.nightly.runs import Runs
    from sealbatch.nightly.shelf import Shelf

    return Runs(schedule, Shelf(schedule.own), entry_clock())


def _row(schedule: "Schedule", nights: "Nights") -> dict[str, Any]:
    from sealbatch.nightly.view import schedule_view

    view = schedule_view(nights, schedule)
    return {
        "schedule": schedule.name,
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "next": None if view.next is None else view.next.isoformat(),
        "next_local": None if view.next is None else _local(view.next, schedule),
        "state": view.state,
        "last_run": view.last_run or None,
        "open_runs": view.open_runs,
        "waiting": view.waiting,
    }


def _show_firings(screen: "Screen", schedules: "tuple[Schedule, ...]", most: int) -> None:
    from sealbatch.nightly.clock import entry_clock

    now = entry_clock().now()
    rows = [
        {
            "schedule": schedule.name,
            "local": _local(firing, schedule),
            "utc": firing.strftime("%Y-%m-%d %H:%M"),
            "at": firing.isoformat(),
        }
        for schedule in schedules
        for firing in islice(schedule.when.after(now), most)
    ]
    screen.rows(("schedule", "local", "utc"), rows)


def _show_findings(screen: "Screen", source: str, findings: "list[Finding]") -> None:
    rows = [
        {
            "file": source,
            "line": finding.line,
            "level": finding.level,
            "schedule": finding.schedule,
            "message": finding.message,
        }
        for finding in findings
    ]
    if rows:
        screen.rows(("line", "level", "schedule", "message"), rows)


def _local(firing: datetime, schedule: "Schedule") -> str:
    return firing.astimezone(schedule.when.zone).strftime("%a %Y-%m-%d %H:%M %Z")
