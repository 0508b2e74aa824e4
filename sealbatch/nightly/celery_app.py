"""The Celery application: every pitfall of Celery on Redis has its setting here, and a test.

Tasks carry names and ids. They have no results, no retries and no dates of their own: what is to be tried again stands
in the inbox's records, and the next tick finds it. So a Redis that is flushed, or a task that is delivered twice, late
or never, changes nothing but the hour.
"""

import ssl
from datetime import timedelta
from typing import Any, Final

from celery import Celery

from sealbatch.nightly.acks import LostAcks
from sealbatch.nightly.redis_names import PREFIX, QUEUE
from sealbatch.nightly.schedule import NightlySettings
from sealbatch.nightly.todo import MARK, TICK, Todo

VISIBILITY: Final = 3600
"""Seconds after which Redis's transport delivers a task again that nobody acknowledged. Of all applications that share
a broker the shortest counts; a task that runs longer is delivered twice, which `sealbatch.nightly.lease` stops."""
LONGEST_TASK: Final = 4 * 3600
NO_ARGUMENTS: Final = "<ids>"
"""What Celery's own logs and events show in place of a task's arguments."""


def broker_url(redis_url: str) -> str:
    """The same Redis as kombu spells it."""
    return redis_url.replace("unix://", "redis+socket://", 1)


def make_app(settings: NightlySettings) -> Celery:
    """The application, without tasks."""
    app = Celery("sealbatch", broker=broker_url(settings.redis_url), set_as_current=False)
    app.conf.update(
        # Whoever writes to the broker must not run code here: JSON and nothing else, in both directions.
        task_serializer="json",
        accept_content=["json"],
        # No results: nothing of a task stays in Redis, and nothing waits for it.
        result_backend="disabled://",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        # A task is acknowledged when it is done. If its worker dies it is delivered again; how often a file may
        # take its worker with it is counted in the file's own records and not under Celery's changing ids.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        worker_prefetch_multiplier=1,
        task_time_limit=LONGEST_TASK + 60,
        task_soft_time_limit=LONGEST_TASK,
        worker_max_tasks_per_child=1000,
        broker_transport_options={
            "visibility_timeout": VISIBILITY,
            "global_keyprefix": PREFIX,
            "socket_keepalive": True,
            "retry_on_timeout": True,
        },
        visibility_timeout=VISIBILITY,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A worker that is told to stop lets its tasks end, then gives them back.
        worker_soft_shutdown_timeout=30.0,
        worker_enable_soft_shutdown_on_idle=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Nobody is to be told of tasks but through the records; nobody is to command workers through Redis.
        worker_send_task_events=False,
        task_send_sent_event=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_default_queue=QUEUE,
        timezone="UTC",
        enable_utc=True,
        beat_max_loop_interval=min(settings.tick.total_seconds(), 5.0),
        beat_schedule={
            # A tick that could not be worked on in time is worth nothing: the next one sees all that it would have.
            "tick": {"task": TICK, "schedule": settings.tick, "options": {"expires": expiry(settings.tick)}},
        },
    )
    app.steps["consumer"].add(LostAcks)
    if settings.redis_url.startswith("rediss://"):
        app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return app


def expiry(tick: timedelta) -> float:
    """Seconds for which a tick is worth anything."""
    return max(10.0, 2 * tick.total_seconds())


def send(app: Celery, todo: Todo, **options: Any) -> None:
    """Put a task into the queue.

    Raises:
        OperationalError: kombu's; Redis does not take it.
    """
    hidden = {"argsrepr": NO_ARGUMENTS, "kwargsrepr": NO_ARGUMENTS}
    app.send_task(todo.task, args=todo.arguments, headers={MARK: todo.mark}, **hidden, **options)
