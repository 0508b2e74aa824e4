"""`sealbatch worker` and `sealbatch beat`: the two programs that run the schedules."""

from pathlib import Path
from typing import Annotated

import typer

from sealbatch.face import Face, ends_well
from sealbatch.nightly.extra import need_nightly

WORKER_EXAMPLES = """Examples:
sealbatch worker
sealbatch worker --concurrency 4"""
BEAT_EXAMPLES = """Examples:
sealbatch beat
sealbatch -v beat"""

READY = Annotated[Path | None, typer.Option(help="Write this file once work can begin.")]


@ends_well
def work(
    context: typer.Context,
    concurrency: Annotated[int, typer.Option(min=1, help="Processes that work at the same time.")] = 2,
    ready_file: READY = None,
) -> None:
    """Seal, follow and deliver what the schedules bring.

    Runs until SIGTERM. Run as many as you like, on many machines that see the inbox.
    """
    need_nightly()
    from celery.signals import worker_ready

    from sealbatch.nightly.celery_app import make_app
    from sealbatch.nightly.clock import entry_clock
    from sealbatch.nightly.plan import read_plan
    from sealbatch.nightly.tasks import register

    face: Face = context.obj
    plan = read_plan(face.config(face.screen()))
    app = make_app(plan.settings)
    register(app, plan, entry_clock())
    if ready_file is not None:
        worker_ready.connect(lambda **_: ready_file.touch(), weak=False)
    arguments = ["--pool=prefork", f"--concurrency={concurrency}", "--without-gossip", "--without-mingle"]
    app.worker_main(["worker", "--loglevel=CRITICAL", *arguments])


@ends_well
def beat(context: typer.Context) -> None:
    """Begin what is due, night by night.

    One is enough; a second one stays quiet until the first is gone.
    """
    need_nightly()
    from sealbatch.nightly.beat import LockedScheduler
    from sealbatch.nightly.celery_app import make_app
    from sealbatch.nightly.plan import read_plan

    face: Face = context.obj
    plan = read_plan(face.config(face.screen()))
    app = make_app(plan.settings)
    app.Beat(scheduler_cls=LockedScheduler, loglevel="CRITICAL", redirect_stdouts=False).run()
