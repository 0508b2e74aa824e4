"""Keeps one engine process running: starts it, waits for its end, and starts another, later each time it died young."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from enclave_worker.engine_process import EngineGone, EngineProcess
from enclave_worker.manifest import ModelError

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0
"""Seconds between two starts, doubling with each process that died young."""
YOUNG: Final = 60.0
"""Seconds that a process has to live to be taken for sound."""

_log: Final = logging.getLogger("sealbatch.enclave_worker")


class Keeper:
    """One thread for all starts: the kernel ends a process with the thread that started it, so that must not end."""

    def __init__(self, start: Callable[[], EngineProcess]) -> None:
        """Start the first process.

        Raises:
            ModelError: its model cannot be loaded. EngineGone: it ended before it was ready.
        """
        self._start = start
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._process: EngineProcess | None = None
        self._first_fault: Exception | None = None
        self.starts = 0
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._process is not None or self._first_fault is not None)
        if self._first_fault is not None:
            raise self._first_fault

    def process(self) -> EngineProcess:
        """The running process; waits for the next one while there is none.

        Raises:
            EngineGone: the keeper was closed.
        """
        with self._changed:
            while not self._closed.is_set():
                if self._process is not None and self._process.alive:
                    return self._process
                self._changed.wait(0.05)
        raise EngineGone("closed")

    def running(self) -> EngineProcess | None:
        """The process, if one runs now."""
        with self._changed:
            return self._process if self._process is not None and self._process.alive else None

    def close(self) -> None:
        """End the process for good."""
        self._closed.set()
        with self._changed:
            if self._process is not None:
                self._process.kill()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            began = time.monotonic()
            if not self._run_one():
                return
            young = time.monotonic() - began < YOUNG
            pause = min(LONGEST_PAUSE, pause * 2) if young else FIRST_PAUSE
            self._closed.wait(pause * random.uniform(0.5, 1.0))

    def _run_one(self) -> bool:
        """Start a process and see it to its end; False if the very first did not start."""
        try:
            process = self._start()
        except (EngineGone, ModelError) as error:
            _log.error(
                "engine process not started error=%s: tried again unless it was the first; look at memory, and at the "
                "model",
                type(error).__name__,
            )
            with self._changed:
                if self.starts == 0:
                    self._first_fault = error
                    self._changed.notify_all()
                return self.starts > 0
        with self._changed:
            self.starts += 1
            self._process = process
            closed = self._closed.is_set()
            self._changed.notify_all()
        if closed:
            process.kill()
        _log.info("engine process started n=%d pid=%d", self.starts, process.pid)
        code = process.wait()
        process.kill()  # its sockets are what is left of it
        with self._changed:
            self._process = None
        if not self._closed.is_set():
            _log.error(
                "engine process ended code=%d: started again; -9 is the kernel's, which was short of memory", code
            )
        return True
