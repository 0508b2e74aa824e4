"""The tasks: a tick, which finds what is to be done, and the work itself. No failure gets out of one.

An exception that left a task would be logged by Celery with its text, which may hold content.
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from sealbatch.nightly.assembly import Nights
from sealbatch.nightly.celery_app import send
from sealbatch.nightly.clock import Clock
from sealbatch.nightly.faults import fault_of
from sealbatch.nightly.lease import Leases
from sealbatch.nightly.night import Night
from sealbatch.nightly.plan import Plan
from sealbatch.nightly.progress import RedisProgress, connect
from sealbatch.nightly.todo import CLOSE, RANGE, STEP, TICK, Todo

_log = logging.getLogger("sealbatch.nightly")


class Desk:
    """What a worker process works with, made after it was forked."""

    def __init__(self, app: Celery, plan: Plan, clock: Clock) -> None:
        self._app = app
        self._plan = plan
        self._clock = clock
        self._made: tuple[int, Nights, Leases] | None = None

    def _parts(self) -> tuple[int, Nights, Leases]:
        # boto3's clients and Redis's connections must not be shared between a process and its children.
        if self._made is None or self._made[0] != os.getpid():
            redis = connect(self._plan.settings.redis_url)
            leases = Leases(redis, self._plan.settings.lost_after)
            self._made = os.getpid(), Nights(self._plan, self._clock, RedisProgress(redis).show), leases
        return self._made

    def tick(self) -> None:
        """Look at every schedule."""
        for schedule in self._plan.schedules:
            # One schedule whose inbox is gone must not keep the others from their nights.
            self._do(Todo(TICK, (schedule.name,)), lambda night: night.tick())

    def step(self, schedule: str, run: str, item: str) -> None:
        """Work on a file."""
        self._do(Todo(STEP, (schedule, run, item)), lambda night: night.step(run, item))

    def range(self, schedule: str, run: str, item: str, number: int) -> None:
        """Work on a range of a large file."""
        self._do(Todo(RANGE, (schedule, run, item, number)), lambda night: night.range(run, item, number))

    def close(self, schedule: str, run: str) -> None:
        """Report and tell."""
        self._do(Todo(CLOSE, (schedule, run)), lambda night: night.close(run))

    def _do(self, todo: Todo, work: Callable[[Night], Iterable[Todo] | None]) -> None:
        """Do it, unless somebody else is at it, and hand out what follows."""
        _, nights, leases = self._parts()
        with leases.run(todo.mark) as ours:
            if not ours:
                return
            try:
                todos = list(work(nights.of(str(todo.arguments[0]))) or ())
            except Exception as error:  # noqa: BLE001 - see above
                fault = fault_of(error)
                _log.error(
                    "task failed task=%s code=%s: %s; the next tick tries again", todo.task, fault.code, fault.text
                )
                return
        hand_out(self._app, leases, todos)


def hand_out(app: Celery, leases: Leases, todos: Sequence[Todo]) -> None:
    """Put into the queue what nobody has; what Redis does not take, the next tick hands out."""
    try:
        for todo in leases.free(todos):
            send(app, todo)
    except (OperationalError, RedisError):  # not reached, or full
        _log.warning("Redis does not take tasks: away or full; the next tick hands them out, nothing is lost")


def register(app: Celery, plan: Plan, clock: Clock) -> None:
    """Give `app` its tasks."""
    desk = Desk(app, plan, clock)
    for name, work in ((TICK, desk.tick), (STEP, desk.step), (RANGE, desk.range), (CLOSE, desk.close)):
        app.task(work, name=name, shared=False, typing=False)  # its check of arguments would want a `self`
