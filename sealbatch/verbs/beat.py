"""`sealbatch beat`: begins what the schedules say, when they say it."""

import typer

from sealbatch.face import Face, ends_well

EXAMPLES = """\
sealbatch beat
# with a log
sealbatch -v beat"""


@ends_well
def command(context: typer.Context) -> None:
    """Begin what is due, night by night.

    One is enough; a second one stays quiet until the first is gone.
    """
    from sealbatch.nightly.beat import LockedScheduler
    from sealbatch.nightly.celery_app import make_app
    from sealbatch.nightly.plan import read_plan

    face: Face = context.obj
    plan = read_plan(face.config(face.screen()))
    app = make_app(plan.settings)
    app.Beat(scheduler_cls=LockedScheduler, loglevel="CRITICAL", redirect_stdouts=False).run()
