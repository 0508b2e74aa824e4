"""`/init`: makes a bare kernel a place in which the worker can run, starts it, and ends the machine with it.

There is no shell, no login and no other program. Whatever fails here is said in one line on the console, which can be
read in debug mode alone, and ends the enclave; nitro-cli then says that it ended.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from enclave_worker.boot import system
from enclave_worker.entropy import seed_kernel
from enclave_worker.nsm import DEVICE, NsmDevice

PARENT: Final = 3
"""The parent's CID as an enclave sees it; Python's VMADDR_CID_HOST is 2, the hypervisor."""
READY_PORT: Final = 9000
HEARTBEAT: Final = b"\xb7"
HEARTBEAT_TIMEOUT: Final = 5.0
"""Port and byte are those of AWS's init: nitro-cli listens there, and waits for it."""
USER: Final = 1000
MODULES: Final = Path("/modules")
WORKER: Final = ("/usr/bin/python3.11", "-I", "-m", "enclave_worker")
TEMPORARY: Final = "/tmp"  # noqa: S108 - a file system of the enclave's own
# Libraries' warnings may quote what they work on.
ENVIRONMENT: Final = {
    "PYTHONWARNINGS": "ignore",
    "HOME": TEMPORARY,
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin",
    "TMPDIR": TEMPORARY,
}
_PRIVATE: Final = system.MS_NOSUID | system.MS_NODEV | system.MS_NOEXEC
MODEL_MOUNT: Final = ("tmpfs", "/model", _PRIVATE, f"mode=0700,uid={USER},gid={USER},size=90%")
MOUNTS: Final = (
    ("devtmpfs", "/dev", system.MS_NOSUID | system.MS_NOEXEC, "mode=0755"),
    ("proc", "/proc", _PRIVATE, ""),
    ("sysfs", "/sys", _PRIVATE, ""),
    ("tmpfs", TEMPORARY, _PRIVATE, "mode=1777,size=25%"),
    MODEL_MOUNT,
)


def main() -> NoReturn:
    """Boot, run the worker to its end, and reset the machine."""
    try:
        _boot(streamed=not Path("/model/manifest.json").exists())
        code = _supervise()
        say(f"the worker ended with code {code}; the enclave ends")
    except BaseException as error:  # noqa: BLE001 - there is nobody above this process
        say(f"cannot boot: {type(error).__name__}: {error}; the enclave ends")
    finally:
        system.reset()
    # A machine that cannot be reset must not go on: the kernel panics when its first process ends.
    sys.exit(1)


def say(line: str) -> None:
    """One line on the console."""
    print(f"sealbatch init: {line}", file=sys.stderr, flush=True)  # noqa: T201


def _boot(*, streamed: bool) -> None:
    for kind, target, flags, options in MOUNTS:
        if target != "/model" or streamed:
            _mount(kind, target, flags, options)
    for module in sorted(MODULES.glob("*.ko")):
        system.load_module(module)
    system.loopback_up()
    say("heartbeat answered" if heartbeat() else "nobody answers the heartbeat; going on")
    prepare_device()
    system.remount_read_only("/")


def prepare_device() -> None:
    """Feed the kernel's generator from the NSM, and give the device to the worker's user alone.

    Raises:
        NsmError, OSError: there is no module, or it or the kernel refuses.
    """
    device = NsmDevice()
    say(f"{seed_kernel(device)} bytes of entropy from the NSM")
    device.close()
    os.chown(DEVICE, USER, USER)
    DEVICE.chmod(0o600)


def _mount(kind: str, target: str, flags: int, options: str) -> None:
    try:
        system.mount(kind, target, flags, options)
    except OSError:
        # Some kernels mount /dev by themselves.
        if not (kind == "devtmpfs" and Path("/dev/null").is_char_device()):
            raise


def _connect() -> socket.socket:
    sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(HEARTBEAT_TIMEOUT)
        sock.connect((PARENT, READY_PORT))
    except OSError:
        sock.close()
        raise
    return sock


def heartbeat(connect: Callable[[], socket.socket] = _connect) -> bool:
    """Tell nitro-cli that the enclave has booted; whether somebody answered. In a virtual machine nobody may."""
    with contextlib.suppress(OSError), connect() as sock:
        sock.sendall(HEARTBEAT)
        return sock.recv(1) == HEARTBEAT
    return False


def _supervise() -> int:
    """Start the worker, reap whatever ends, and return the worker's exit code, or minus the signal that ended it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker = os.fork()
    if worker == 0:
        become_worker()
    while True:
        ended, status = os.wait()
        if ended == worker:
            return os.waitstatus_to_exitcode(status)


def become_worker() -> NoReturn:
    """Replace this process by the worker, without a way back to root."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        os.chdir("/")
        system.become(USER)
        os.execve(WORKER[0], WORKER, ENVIRONMENT)  # noqa: S606 - there is no shell
    except BaseException as error:  # noqa: BLE001 - the process must not go on as a second init
        say(f"cannot start the worker: {type(error).__name__}: {error}")
        os._exit(os.EX_OSERR)
