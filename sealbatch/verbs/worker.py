"""`sealbatch worker`: seals, follows and delivers what the schedules bring."""

from pathlib import Path
from typing import Annotated

import typer

from sealbatch.face import Face, ends_well

EXAMPLES = """\
sealbatch worker
# four files at the same time, with a log
sealbatch -v worker --concurrency 4"""

READY = Annotated[Path | None, typer.Option(metavar="FILE", help="Write this file once work can begin.")]


@ends_well
def command(
    context: typer.Context,
    concurrency: Annotated[int, typer.Option(min=1, metavar="N", help="Processes that work at the same time.")] = 2,
    ready_file: READY = None,
) -> None:
    """Seal, follow and deliver what the schedules bring.

    Runs until SIGTERM. Run as many as you like, on many machines that see the inbox.
    """
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
