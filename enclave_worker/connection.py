"""One bridge's connection: work in, answers and refusals out, each piece of work ended exactly once."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from enclave_worker.courier import ConnectionCourier
from enclave_worker.services import Services
from enclave_worker.task import Task
from enclave_worker.window import DuplicateRef, Window
from wire.errors import MessageError, StreamError, WireError
from wire.messages import (
    VERSION,
    Answer,
    Message,
    Progress,
    Ready,
    Refusal,
    RefusalCode,
    Unwrapped,
    UnwrapRefused,
    Work,
    decode,
    encode,
)
from wire.stream import Stream

PROGRESS_INTERVAL: Final = 1.0
"""Seconds between two `Progress` of one reference, at least."""

_log: Final = logging.getLogger("sealbatch.enclave_worker")


class Connection:
    """Serves one stream until its peer ends it, breaks the protocol, or `close` is called."""

    def __init__(self, number: int, stream: Stream, services: Services) -> None:
        self._number = number
        self._stream = stream
        self._services = services
        self._window = Window(services.limits)
        self._tasks: dict[int, Task] = {}
        self._courier = ConnectionCourier(self._send, services.unwrap_timeout)
        # Outstanding work is bounded by the window and each piece takes one worker at a time, so nothing queues here.
        self._workers = ThreadPoolExecutor(services.limits.chunks, thread_name_prefix=f"connection-{number}")
        self._draining = False
        self._closed = threading.Event()

    def serve(self) -> None:
        """Say who we are, then take messages until the connection ends."""
        pulse = threading.Thread(target=self._pulse, name=f"pulse-{self._number}", daemon=True)
        pulse.start()
        try:
            self._send(self._ready())
            while (body := self._stream.receive()) is not None:
                self._take(decode(body))
        except StreamError:
            _log.info("connection lost connection=%d", self._number)
        except (WireError, DuplicateRef) as error:
            _log.warning(
                "connection dropped connection=%d reason=%s: what came is not of this protocol; run the bridge of the "
                "same release",
                self._number,
                type(error).__name__,
            )
        finally:
            self.close()
            self._workers.shutdown()
            pulse.join()
            for task in self._tasks.copy().values():
                task.withdraw()

    def drain(self) -> None:
        """Refuse work that comes from now on."""
        self._draining = True

    def finish(self, timeout: float) -> None:
        """Give accepted work `timeout` seconds, refuse what is left then, and close."""
        self._window.wait_empty(timeout)
        for ref in self._window.outstanding():
            self.refuse(ref, RefusalCode.SHUTTING_DOWN)
        self.close()

    def close(self) -> None:
        """End the connection; whatever is outstanding ends unheard."""
        self._closed.set()
        self._stream.close()
        self._courier.close()
        self._window.clear()

    def run(self, work: Callable[[], None]) -> None:
        """See `Outlet.run`."""
        try:
            self._workers.submit(work)
        except RuntimeError:
            # The workers were shut down: the connection is gone, and its work with it.
            _log.info("work dropped connection=%d", self._number)

    def answer(self, ref: int, sealed: bytes) -> None:
        """See `Outlet.answer`."""
        self._end(ref, Answer(ref, sealed))

    def refuse(self, ref: int, code: RefusalCode) -> None:
        """See `Outlet.refuse`."""
        _log.info("chunk refused connection=%d ref=%d code=%s", self._number, ref, code)
        self._end(ref, Refusal(ref, code))

    def _end(self, ref: int, message: Answer | Refusal) -> None:
        # First the window, then the message: the peer may use the room as soon as it has read the message.
        task = self._tasks.pop(ref, None)
        if task is not None and self._window.give_back(ref):
            try:
                self._send_quietly(message)
            finally:
                self._window.said()

    def _ready(self) -> Ready:
        identity, limits = self._services.identity, self._services.limits
        return Ready(VERSION, identity.image, identity.model, limits.chunks, limits.bytes)

    def _take(self, message: Message) -> None:
        match message:
            case Work():
                self._take_work(message)
            case Unwrapped() | UnwrapRefused():
                # One that nobody waits for came late or twice: the key pair that it was for is gone.
                if not self._courier.deliver(message):
                    _log.info("unwrap reply ignored connection=%d request=%d", self._number, message.request)
            case _:
                raise MessageError("a message that only the enclave sends")

    def _take_work(self, work: Work) -> None:
        if self._draining:
            self._send(Refusal(work.ref, RefusalCode.SHUTTING_DOWN))
        elif self._window.take(work.ref, len(work.sealed)):
            task = self._tasks[work.ref] = Task(work.ref, self, self._services, self._courier)
            self.run(lambda: task.start(work))
        else:
            self._send(Refusal(work.ref, RefusalCode.BUSY))

    def _pulse(self) -> None:
        seen, told = self._services.driver.steps, None
        while not self._closed.wait(PROGRESS_INTERVAL):
            steps = self._services.driver.steps
            if steps != seen:
                seen = steps
                # No reference ends while `each` runs, so no Progress follows its Answer.
                self._window.each(lambda ref: self._send_quietly(Progress(ref)))
            if (report := self._services.telemetry.latest()) is not told and report is not None:
                told = report
                self._send_quietly(report)

    def _send(self, message: Message) -> None:
        self._stream.send(encode(message))

    def _send_quietly(self, message: Message) -> None:
        try:
            self._send(message)
        except StreamError:
            self.close()
