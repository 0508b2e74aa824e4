"""A worker with the application's own settings and one task, which lasts until it is told to end."""

import sys
from pathlib import Path

from waiting import wait_until

from devstack import valkey
from sealbatch.nightly.celery_app import make_app
from sealbatch.nightly.schedule import NightlySettings

TASK = "slow"

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    app = make_app(NightlySettings(redis_url=valkey.url(folder)))

    @app.task(name=TASK)
    def slow(number: int) -> None:
        """Begin, wait for leave, end."""
        (folder / f"begun-{number}").touch()
        wait_until((folder / f"leave-{number}").exists, 60, "leave")
        (folder / f"done-{number}").touch()

    app.worker_main(["worker", "--loglevel=CRITICAL", "--concurrency=1", "--without-gossip", "--without-mingle"])
