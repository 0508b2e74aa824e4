"""A command under another kernel: user-mode Linux, which is a process, with vsock loopback on CID 1.

The guest's root is this machine's own file system, read only, so that the same interpreter and the same packages run
there; what is written goes to memory, except below one folder that both sides share.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.machines.debian import MissingPartError, Wanted, ensure

PACKAGE: Final = Wanted(
    "user-mode-linux",
    {
        "6.1um4+b13": "0ce700f835c385ab09860ad33137817402403a29e424177510244bd75a81c687",  # Debian 12
        "6.12um1+b22": "6930e97133531bab93f83b6d691a94f5872505d8f5d88c1f3f1296da0820a3a0",  # Debian 13
    },
)
MEMORY: Final = "384M"
KERNEL_PATIENCE: Final = 60.0
"""Seconds beside the command's own that the kernel may take to start and to end."""
MODULES: Final = ("vsock", "vmw_vsock_virtio_transport_common", "vsock_loopback")
INIT: Final = Path(__file__).with_name("uml_init.py")
SHARED: Final = "/run/shared"
"""Where the guest sees the shared folder."""
LOG_TAIL: Final = 30


class GuestError(Exception):
    """The kernel did not run the command to its end; the text has the end of what it said."""


@dataclass(frozen=True, slots=True)
class Guest:
    """How a command ended inside, and all that it printed."""

    status: int
    output: str


def run(command: Sequence[str], shared: Path, timeout: float, environment: Mapping[str, str] | None = None) -> Guest:
    """Run `command` in the current folder of a guest that sees `shared` at `SHARED`, for at most `timeout` seconds.

    Raises:
        MissingPartError: there is no user-mode Linux for this machine.
        GuestError: it did not start, or did not end in time.
    """
    if platform.machine() != "x86_64":
        raise MissingPartError(f"user-mode Linux runs on x86_64, and this machine is {platform.machine()}")
    place = ensure("user-mode-linux", [PACKAGE])
    kernel = place / "usr" / "bin" / "linux.uml"
    modules = {path.stem: str(path) for path in place.glob("usr/lib/uml/modules/*/kernel/net/vmw_vsock/*.ko")}
    if not kernel.is_file() or not modules.keys() >= set(MODULES):
        raise MissingPartError(f"the package in {place} has no kernel, or one without vsock loopback")
    job = {
        "command": list(command),
        "folder": str(Path.cwd()),
        "environment": {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(environment or {}),
        },
        "modules": [modules[name] for name in MODULES],
        "shared": str(shared.resolve()),
    }
    with tempfile.TemporaryDirectory(prefix="sealbatch-uml-") as scratch:
        return _boot(kernel, job, Path(scratch), shared, timeout + KERNEL_PATIENCE)


def _boot(kernel: Path, job: Mapping[str, object], scratch: Path, shared: Path, timeout: float) -> Guest:
    told = scratch / "job.json"
    told.write_text(json.dumps(job))
    arguments = [
        f"mem={MEMORY}",
        f"umid={scratch.name}",
        f"uml_dir={scratch}/",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        "con=null",
        "con0=null,fd:1",
        f"init={sys.executable}",
        "--",
        str(INIT),
        str(told),
    ]
    console = scratch / "console.log"
    with console.open("wb") as log:
        # The guest's memory is a file in TMPDIR, from which it must be possible to execute: /dev/shm often forbids it.
        process = subprocess.Popen(
            [kernel, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "TMPDIR": str(scratch)},
            start_new_session=True,
        )
        try:
            process.wait(timeout)
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise GuestError(f"the guest did not end within {timeout:.0f} s\n{_said(console, shared)}") from None
            raise
    status = shared / "status"
    if not status.is_file():
        raise GuestError(f"the guest ended without running the command\n{_said(console, shared)}")
    return Guest(int(status.read_text()), (shared / "output").read_text(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """The kernel and the processes that it traces are one session of ours."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(console: Path, shared: Path) -> str:
    texts = [path.read_text(errors="replace") for path in (console, shared / "output") if path.is_file()]
    return "\n".join(line for text in texts for line in text.splitlines()[-LOG_TAIL:])
