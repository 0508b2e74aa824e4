"""One process of the development stack, with its log and its end."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
LOG_TAIL: Final = 12
"""Lines of a log that are shown when its process has died."""


class PartDiedError(Exception):
    """A process of the stack ended by itself; the text has the end of its log."""


def _die_with_parent() -> None:
    # A stack without its supervisor would be half a stack: the kernel ends the parts when it goes, however it goes.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Part:
    """A running process. Its standard output and error go to a log that holds no content."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        *,
        program: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - prctl alone, which is safe between fork and exec
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
            PartDiedError: it is not.
        """
        if not self.running():
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
            raise PartDiedError(f"the {self.name} ended with code {self._process.returncode}; its log ends:\n{tail}")

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
            self._process.kill()
            self._process.wait()
