"""`sealbatch beat`: begins what the schedules say, when they say it."""

from typing import TYPE_CHECKING

import typer

from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o

if TYPE_CHECKING:
    from sealbatch.nightly.beat import BeatMetrics
    from sealbatch.nightly.plan import Plan

EXAMPLES = """\
sealbatch beat
# with a log, and with what Prometheus asks for
sealbatch -v beat --health 127.0.0.1:9465"""


@ends_well
def command(context: typer.Context, health: o.HEALTH = None) -> None:
    """Begin what is due, night by night.

    One is enough; a second one stays quiet until the first is gone. What it serves of the schedules it reads in their
    inboxes, so with --health it must see them, as workers do.
    """
    from functools import partial

    from sealbatch.nightly.beat import BeatMetrics, LockedScheduler
    from sealbatch.nightly.celery_app import make_app
    from sealbatch.nightly.plan import read_plan

    face: Face = context.obj
    plan = read_plan(face.config(face.screen()))
    metrics = BeatMetrics(plan.settings.tick)
    if health is not None:
        _serve(health, metrics, plan)
    scheduler = partial(LockedScheduler, metrics=metrics)
    make_app(plan.settings).Beat(scheduler_cls=scheduler, loglevel="CRITICAL", redirect_stdouts=False).run()


def _serve(health: o.HostPort, metrics: "BeatMetrics", plan: "Plan") -> None:
    from prometheus_client import CollectorRegistry

    from sealbatch.nightly.clock import entry_clock
    from sealbatch.nightly.metrics import NightCollector
    from vsock_bridge.health import HealthServer

    registry = CollectorRegistry()
    registry.register(metrics.ticks)
    registry.register(NightCollector(plan.schedules, entry_clock()))
    try:
        HealthServer(*health, registry, metrics.health).start()
    except OSError as error:
        raise o.not_served("--health", health, error) from None
