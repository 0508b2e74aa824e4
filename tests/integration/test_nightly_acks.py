"""A real worker whose Redis dies at the worst moment."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import slow_worker
from waiting import wait_until

from devstack.valkey import find_server
from sealbatch.nightly.celery_app import make_app, options
from sealbatch.nightly.schedule import NightlySettings

SLOW = 60.0


@contextmanager
def running(*words: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process, killed in the end."""
    with log.open("ab") as file, subprocess.Popen(words, stdout=file, stderr=file) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def valkey(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A Valkey that keeps what it was told."""
    socket = folder / "valkey.sock"
    socket.unlink(missing_ok=True)
    words = ("--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--appendonly", "yes")
    with running(find_server(), *words, log=folder / "valkey.log") as process:
        wait_until(socket.exists, SLOW, "Valkey")
        yield process


def test_a_worker_goes_on_whose_redis_died_while_its_task_ended(tmp_path: Path) -> None:
    """It could not acknowledge, so its only place stayed taken; it did not listen either, so nobody told it."""
    app = make_app(NightlySettings(redis_url=f"unix://{tmp_path}/valkey.sock"))
    log = tmp_path / "worker.log"
    with valkey(tmp_path) as first, running(sys.executable, slow_worker.__file__, str(tmp_path), log=log):
        app.send_task(slow_worker.TASK, args=(1,), **options())
        wait_until((tmp_path / "begun-1").exists, SLOW, "the first task")
        first.kill()
        first.wait()
        (tmp_path / "leave-1").touch()
        wait_until(lambda: b"ack" in log.read_bytes(), SLOW, "the acknowledgement that fails")
        with valkey(tmp_path):
            (tmp_path / "leave-2").touch()
            app.send_task(slow_worker.TASK, args=(2,), **options())
            wait_until((tmp_path / "done-2").exists, SLOW, "the second task")
