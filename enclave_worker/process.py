"""What every process of this program does before it touches a key or a question."""

import ctypes
import os
import resource
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
MAPPED: Final = 64 * 1024
"""Bytes from which on a buffer is given back to the kernel at once; setting it keeps the C library from raising it."""
TRIMMED: Final = 256 * 1024
"""Free bytes at the end of the heap that are given back."""


def die_with(parent: int) -> None:
    """Have the kernel end this process when the thread that started it ends; end now if `parent` is gone already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(os.EX_OK)


def harden() -> None:
    """Forbid core dumps and debuggers. Called before the model stack is imported."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Neither another process of this user nor the kernel's own core handler reads this one's memory.
    _prctl(_PR_SET_DUMPABLE, 0)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # prompts come one at a time


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def bound_heap() -> None:
    """Have all threads share one heap that shrinks again. Called by a process of many threads that compute little.

    By default each thread has a heap, and a freed buffer of a chunk stays in it below whatever came after: resident
    memory creeps up by a fifth over 100,000 records, though nothing is kept.
    """
    libc = ctypes.CDLL(None)
    for parameter, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, MAPPED), (_M_TRIM_THRESHOLD, TRIMMED)):
        libc.mallopt(parameter, value)
