"""A real worker whose Redis dies at the worst moment."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import slow_worker
from waiting import wait_until

from devstack import valkey
from devstack.part import Part
from sealbatch.nightly.celery_app import make_app, send
from sealbatch.nightly.schedule import NightlySettings
from sealbatch.nightly.todo import Todo

SLOW = 60.0


@contextmanager
def started(part: Part) -> Iterator[Part]:
    """A process, ended in the end."""
    try:
        yield part
    finally:
        part.stop(5)


def test_a_worker_goes_on_whose_redis_died_while_its_task_ended(tmp_path: Path) -> None:
    """It could not acknowledge, so its only place stayed taken; it did not listen either, so nobody told it."""
    app = make_app(NightlySettings(redis_url=valkey.url(tmp_path)))
    log, redis_log = tmp_path / "worker.log", tmp_path / "valkey.log"
    with (
        started(valkey.start(tmp_path, redis_log)) as first,
        started(Part("worker", [slow_worker.__file__, str(tmp_path)], log)),
    ):
        send(app, Todo(slow_worker.TASK, (1,)))
        wait_until((tmp_path / "begun-1").exists, SLOW, "the first task")
        first.signal(signal.SIGKILL)
        wait_until(lambda: not first.running(), SLOW, "Redis's end")
        (tmp_path / "leave-1").touch()
        wait_until(lambda: b"ack" in log.read_bytes(), SLOW, "the acknowledgement that fails")
        with started(valkey.start(tmp_path, redis_log)):
            (tmp_path / "leave-2").touch()
            send(app, Todo(slow_worker.TASK, (2,)))
            wait_until((tmp_path / "done-2").exists, SLOW, "the second task")
