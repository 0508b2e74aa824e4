"""Notices a worker that waits for ever for room that a lost acknowledgement keeps taken.

A worker asks Redis for no more tasks than it has room for, and while it has none it does not read its connection. If
Redis goes away just then, acknowledging the task that ends fails, kombu keeps counting it, and the worker, which never
learns that its connection was lost, sits there with nothing to do until somebody starts it again.
"""

from typing import Any, Final

from celery import bootsteps
from celery.worker import state
from redis.exceptions import ConnectionError as LostError

EVERY: Final = 2.0
"""Seconds between two looks. One alone may fall between a task's end and its acknowledgement."""
LOOKS: Final = 3


class LostAcks(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """A step of the worker's consumer: without room and without work, it lets the worker connect anew."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        super().__init__(consumer)
        self._idle = 0
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin to look; the worker's timer is that of its event loop."""
        self._idle = 0
        self._timer = consumer.timer.call_repeatedly(EVERY, self.look, (consumer,))

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - the name is Celery's
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self, consumer: Any) -> None:
        """One look.

        Raises:
            LostError: the room is taken by tasks that are done: the event loop takes it for a lost connection.
        """
        stuck = not state.reserved_requests and not consumer.task_consumer.channel.qos.can_consume()
        self._idle = self._idle + 1 if stuck else 0
        if self._idle >= LOOKS:
            raise LostError("a task that is done could not be acknowledged")
