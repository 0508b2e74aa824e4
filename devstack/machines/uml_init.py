"""The first process of a user-mode Linux guest: prepares what the command needs, runs it, and turns the guest off.

Runs by itself, from this file alone; told by a JSON file what `devstack.machines.uml` wants.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, Final

FINIT_MODULE: Final = 313
"""Its number on x86_64."""
POWER_OFF: Final = 0x4321FEDC
SHARED: Final = Path("/run/shared")
SIOCSIFFLAGS: Final = 0x8914
INTERFACE_UP: Final = 0x1

_libc: Final = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Never returns: a first process that ends is a panic."""
    try:
        job = json.loads(Path(sys.argv[1]).read_text())
        _prepare(job)
        (SHARED / "status").write_text(str(_run(job)))
    except BaseException:  # noqa: BLE001 - whatever it is, the console must say it and the guest must end
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        _libc.sync()
        _libc.reboot(POWER_OFF)


def _prepare(job: dict[str, Any]) -> None:
    _mount("proc", "/proc", "proc")
    _mount("sysfs", "/sys", "sysfs")
    _mount("memory", "/run", "tmpfs")
    SHARED.mkdir()
    _mount("shared", str(SHARED), "hostfs", job["shared"])
    for module in job["modules"]:
        with open(module, "rb") as file:  # noqa: PTH123 - a descriptor is all that is wanted
            if _libc.syscall(FINIT_MODULE, file.fileno(), b"", 0) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), module)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", INTERFACE_UP))


def _run(job: dict[str, Any]) -> int:
    environment = {"HOME": "/run", "TMPDIR": "/run", **job["environment"]}
    with (SHARED / "output").open("wb") as output:
        process = subprocess.Popen(
            job["command"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=job["folder"], env=environment
        )
        while True:  # a first process is the parent of every orphan
            pid, status = os.wait()
            if pid == process.pid:
                return os.waitstatus_to_exitcode(status)


def _mount(source: str, target: str, kind: str, data: str = "") -> None:
    if _libc.mount(source.encode(), target.encode(), kind.encode(), 0, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


if __name__ == "__main__":
    main()
