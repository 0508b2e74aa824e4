"""`sealbatch dev up` and `down`: one stack in the background, under a supervisor of its own.

Whoever holds the lock beside the stack's folder is the supervisor, so a stale process number is never believed. When
the supervisor ends, however it ends, its parts end with it.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from devstack.part import POLL, START_TIMEOUT, PartError
from devstack.stack import Stack, StackOptions

STACK_FILE: Final = "stack.json"
STOP_TIMEOUT: Final = 60.0


class DevError(Exception):
    """The development stack did not start or stop; the text says why."""


def up(folder: Path, options: StackOptions, say: Callable[[str], None]) -> bool:
    """Start a stack in the background; False if one runs already.

    What an earlier stack left behind because it was killed is removed first: a stack is whole or not there.

    Raises:
        DevError: it did not start.
    """
    if supervisor_pid(folder) is not None:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    report = folder.with_name(f"{folder.name}.log")
    with report.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "devstack.supervisor", str(folder), str(options.model)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    said = 0
    deadline = time.monotonic() + 2 * START_TIMEOUT
    while not (folder / STACK_FILE).exists():
        lines = report.read_text(errors="replace").splitlines()
        for line in lines[said:] if process.poll() is None else ():
            say(line)
        said = len(lines)
        if process.poll() is not None:
            raise DevError("the stack did not start:\n" + report.read_text(errors="replace").strip())
        if time.monotonic() > deadline:
            process.terminate()
            raise DevError(f"the stack is not ready after {2 * START_TIMEOUT:.0f} s")
        time.sleep(POLL)
    return True


def down(folder: Path) -> bool:
    """Stop the stack and wait for its end; False if none runs.

    Raises:
        DevError: it does not end.
    """
    pid = supervisor_pid(folder)
    if pid is None:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while supervisor_pid(folder) is not None:
        if time.monotonic() > deadline:
            raise DevError(f"the stack's supervisor, process {pid}, does not end")
        time.sleep(POLL)
    return True


def parts(folder: Path) -> list[dict[str, object]]:
    """Name and process number of each part of the running stack, and whether it runs."""
    if supervisor_pid(folder) is None:
        return []
    with contextlib.suppress(OSError, ValueError):
        stack = json.loads((folder / STACK_FILE).read_text())
        return [
            {"part": name, "pid": pid, "state": "running" if _alive(pid) else "ended", "memory_mb": _megabytes(pid)}
            for name, pid in stack["parts"].items()
        ]
    return []


def supervisor_pid(folder: Path) -> int | None:
    """The running supervisor's process number, or None."""
    path = _lock_path(folder)
    if not path.exists():
        return None
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read() or "0") or None
        return None


def supervise(folder: Path, options: StackOptions) -> int:
    """Run a stack until SIGTERM, or until a part ends: half a stack is worse than none."""
    with _lock_path(folder).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _tell("a stack runs here already")
            return 1
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        stack = Stack(folder, options)
        try:
            stack.start(_tell)
            state = {"endpoint": stack.endpoint, "parts": {part.name: part.pid for part in stack.parts}}
            (folder / STACK_FILE).write_text(json.dumps(state))
            while True:
                time.sleep(1)
                for part in stack.parts:
                    part.check()
        except PartError as error:
            _tell(str(error))
            return 1
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            stack.stop()


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this program's output is what `up` shows


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _megabytes(pid: int) -> int | None:
    """Resident memory."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
    return None


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), StackOptions(model=Path(sys.argv[2]))))
