"""One process of the development stack, with its log and its end."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
START_TIMEOUT: Final = 120.0
"""Seconds that a part may take to become ready; importing torch from a cold disk is the longest step."""
POLL: Final = 0.05
LOG_TAIL: Final = 12
"""Lines of a log that are shown when its process has died."""


class PartError(Exception):
    """A process of the stack ended by itself, or is not ready in time; the text says why."""


class Part:
    """A running process. Its standard output and error go to a log that holds no content.

    A stack without its supervisor would be half a stack: the kernel ends the parts when it goes, however it goes, by
    the signal `orphaned`.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        *,
        program: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        orphaned: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
                # prctl alone, which is safe between fork and exec
                preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, orphaned),  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def running(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def check(self) -> None:
        """It must be running.

        Raises:
            PartError: it is not.
        """
        if not self.running():
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
            raise PartError(f"the {self.name} ended with code {self._process.returncode}; its log ends:\n{tail}")

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.running():
            self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        return self._process.wait()

    def stop(self, grace: float) -> None:
        """SIGTERM, and after `grace` seconds SIGKILL."""
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, at once."""
        self._process.kill()
        self._process.wait()


def wait_until(met: Callable[[], object], patience: float, what: str, *parts: Part) -> None:
    """Wait until it is so, while these parts run.

    Raises:
        PartError: one of them ended, or it takes longer than `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while not met():
        for part in parts:
            part.check()
        if time.monotonic() > deadline:
            logs = "".join(f"; see {part.log}" for part in parts[:1])
            raise PartError(f"{what} is not there after {patience:.0f} s{logs}")
        time.sleep(POLL)


class AwsPart(Part):
    """The AWS stand-in of a development folder; whoever needs it asks for its `endpoint`."""

    def __init__(self, folder: Path, log: Path) -> None:
        super().__init__("aws", ("-m", "devstack.aws", "--dev", str(folder)), log)
        self._place = folder / "aws.json"

    def endpoint(self) -> str:
        """Its URL, once it serves.

        Raises:
            PartError: it ended, or does not serve in time.
        """
        return endpoint_of(self, self._place)


def endpoint_of(part: Part, place: Path) -> str:
    """The URL at which a part serves, once it has written the file that says so.

    Raises:
        PartError: it ended, or does not say it in time.
    """
    wait_until(place.exists, START_TIMEOUT, f"the {part.name}", part)
    return str(json.loads(place.read_text())["endpoint"])
