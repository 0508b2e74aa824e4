"""SIGTERM and SIGINT as something that the main thread waits for."""

import signal
import socket
from types import TracebackType
from typing import Final, Self

NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Takes SIGTERM and SIGINT within its block, which is the main thread's.

    The kernel may give a signal to any thread, and Python runs handlers in the main thread only, between two steps of
    its own: one that waits for a lock or a queue goes on waiting. A byte written to a socket wakes whoever reads it
    (`signal.set_wakeup_fd`).
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    def __enter__(self) -> Self:
        # First the descriptor, then the handlers, and at the end the other way round: no signal is taken unseen.
        self._descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = [signal.signal(number, lambda *_: None) for number in NUMBERS]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in zip(NUMBERS, self._before, strict=True):
            signal.signal(number, handler or signal.SIG_DFL)
        signal.set_wakeup_fd(self._descriptor)
        self._writer.close()
        self._reader.close()

    def wake(self) -> None:
        """Have `wait` return 0; any thread may call it."""
        self._writer.send(b"\0")

    def wait(self, seconds: float | None = None) -> int | None:
        """The next signal's number, 0 for `wake`, or None when so many seconds passed without any."""
        self._reader.settimeout(seconds)
        try:
            return self._reader.recv(1)[0]
        except (TimeoutError, BlockingIOError):
            return None
