"""The processes of a chaos run: each is started again when it has ended, as a service manager would."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

HELPERS: Final = Path(__file__).resolve().parent
ROOT: Final = HELPERS.parents[1]


def environment(home: Path) -> dict[str, str]:
    """What every process gets: a home of its own, these helpers on its path."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": f"{HELPERS}:{ROOT}",
        "PYTHONUNBUFFERED": "1",
    }


class Service:
    """One process that is kept running until `stop`."""

    def __init__(self, name: str, words: list[str], folder: Path, extra: dict[str, str] | None = None) -> None:
        """`extra` goes into the environment."""
        self.name = name
        self._extra = extra or {}
        self._words = words
        self._folder = folder
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.starts = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what does not listen."""
        self._stopping.set()
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        self._thread.join(30)

    def kill(self) -> None:
        """End it at once: a bridge would wait for the end of its long poll."""
        self._stopping.set()
        while self._thread.is_alive():  # it may be about to start another one
            if self._process is not None:
                self._process.kill()
            self._thread.join(0.05)

    def target(self) -> psutil.Process | None:
        """The process, if it runs."""
        return _process(self._process)

    def child(self) -> psutil.Process | None:
        """The process's own child: an enclave's engine."""
        try:
            children = [] if (parent := self.target()) is None else parent.children()
        except psutil.Error:
            return None
        return children[0] if children else None

    def _run(self) -> None:
        while not self._stopping.is_set():
            with (self._folder / f"{self.name}.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, *self._words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment(self._folder) | self._extra,
                )
            self.starts += 1
            self._process.wait()
            self._stopping.wait(0.5)


class Disturber:
    """Kills and halts, now this process and now that, by a seed."""

    def __init__(
        self, targets: dict[str, Callable[[], psutil.Process | None]], seed: int, pause: float, longest_halt: float
    ) -> None:
        """`pause` is the mean of seconds between two disturbances, `longest_halt` of seconds until SIGCONT."""
        self._targets = targets
        self._dice = random.Random(seed)
        self._pause = pause
        self._longest_halt = longest_halt
        self._stopping = threading.Event()
        self._halted: list[tuple[float, psutil.Process]] = []
        self._thread = threading.Thread(target=self._run, name="disturber", daemon=True)
        self.caused: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and let everything go on that was halted."""
        self._stopping.set()
        self._thread.join()
        self._wake(float("inf"))

    def _run(self) -> None:
        names = sorted(self._targets)
        while not self._stopping.wait(self._dice.uniform(0.2, 1.8) * self._pause):
            self._wake(time.monotonic())
            name, halts = self._dice.choice(names), self._dice.random() < 0.3
            process = self._targets[name]()
            if process is None:
                continue
            with contextlib.suppress(psutil.Error):
                if halts:
                    process.suspend()
                    self._halted.append((time.monotonic() + self._dice.uniform(0.5, self._longest_halt), process))
                else:
                    process.kill()
                self.caused[f"{'SIGSTOP' if halts else 'SIGKILL'} {name}"] += 1

    def _wake(self, now: float) -> None:
        for entry in list(self._halted):
            if entry[0] <= now:
                self._halted.remove(entry)
                with contextlib.suppress(psutil.Error):
                    entry[1].resume()


def _process(started: subprocess.Popen[bytes] | None) -> psutil.Process | None:
    if started is None or started.poll() is not None:
        return None
    with contextlib.suppress(psutil.Error):
        return psutil.Process(started.pid)
    return None
