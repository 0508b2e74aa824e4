"""System calls of the first process that Python's library does not offer."""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final

MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_FINIT_MODULE: Final = 313
"""Of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl)."""
_RB_AUTOBOOT: Final = 0x01234567
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 0x1
_PR_SET_NO_NEW_PRIVS: Final = 38
_INTERFACE: Final = struct.Struct("16sh14x")


def mount(kind: str, target: str, flags: int, options: str = "") -> None:
    """Mount a file system that needs no device.

    Raises:
        OSError: the kernel refuses.
    """
    _check(_LIBC.mount(kind.encode(), target.encode(), kind.encode(), flags, options.encode() or None), target)


def remount_read_only(target: str) -> None:
    """Let nobody write through a mount any more: the mount changes, not the file system below it.

    Raises:
        OSError: the kernel refuses.
    """
    _check(_LIBC.mount(None, target.encode(), None, MS_BIND | MS_REMOUNT | MS_RDONLY, None), target)


def load_module(path: Path) -> None:
    """Load a kernel module; one that is there already is no error.

    Raises:
        OSError: the kernel refuses.
    """
    with path.open("rb") as file:
        try:
            _check(_LIBC.syscall(_FINIT_MODULE, file.fileno(), b"", 0), path.name)
        except FileExistsError:
            return


def loopback_up() -> None:
    """Switch the loopback interface on, which some libraries bind to.

    Raises:
        OSError: there is none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, _SIOCGIFFLAGS, _INTERFACE.pack(b"lo", 0))
        name, flags = _INTERFACE.unpack(request)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, _INTERFACE.pack(name, flags | _IFF_UP))


def become(user: int) -> None:
    """Give up root for good; no program that is started from here on gets it back.

    Raises:
        OSError: the kernel refuses.
    """
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _check(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def reset() -> None:
    """End this machine. A Nitro hypervisor ends the enclave by it; powering off needs ACPI, which it has not."""
    os.sync()
    _LIBC.reboot(_RB_AUTOBOOT)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
