"""The console: lines of our own events and nothing else, since whoever owns the host may read it.

A traceback quotes an error's text, a library logs what it is given, and a native one that aborts prints the bytes that
it could not handle. So standard output and error lead nowhere, and our own handler alone keeps the console. Of an error
that nobody caught it says the type and the places in the code.
"""

import logging
import os
import sys
import threading
import traceback
from types import TracebackType
from typing import Final

_OUT: Final = 1
_ERROR: Final = 2

_log: Final = logging.getLogger("sealbatch.enclave_worker")
_kept: int = _ERROR


def descriptor() -> int:
    """Where our own lines go: for a process of this program that is to claim the console too."""
    return _kept


def claim() -> None:
    """Take standard error for our own log, and let nothing else through, be it of Python or of native code."""
    global _kept  # noqa: PLW0603 - a process has one console
    _kept = os.dup(_ERROR)
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for number in (_OUT, _ERROR):
        os.dup2(nowhere, number)
    os.close(nowhere)
    handler = logging.StreamHandler(os.fdopen(_kept, "w", buffering=1, encoding="utf-8", closefd=False))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("sealbatch")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    sys.excepthook = _uncaught
    threading.excepthook = lambda found: _uncaught(found.exc_type, found.exc_value, found.exc_traceback)
    sys.unraisablehook = lambda found: _uncaught(found.exc_type, found.exc_value, found.exc_traceback)


def say(text: str) -> None:
    """One line on the console as it is; it is of files and devices, and never of a question."""
    os.write(_kept, f"{text}\n".encode())


def _uncaught(kind: type[BaseException], _: BaseException | None, trace: TracebackType | None) -> None:
    """The text of the error may quote content; its type and the places of the code cannot."""
    places = " < ".join(f"{frame.f_code.co_name}:{line}" for frame, line in reversed(list(traceback.walk_tb(trace))))
    _log.critical(
        "uncaught error=%s at=%s: a fault of sealbatch, which its text would not show; please report this line",
        kind.__name__,
        places,
    )
