"""Turns lines that are pushed by a thread into lines that are pulled, a few at a time."""

import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from typing import Any, Final

from results_consumer.growing import Growing, Mark
from results_consumer.sink import Sink

WAITING: Final = 4
"""Pieces that wait to be pulled: chunks of a job that runs, or what has gathered of one that has ended."""
PIECE: Final = 64 * 1024
"""Bytes that gather of a job that has ended, before they are given out."""
_LOOK: Final = 0.1
"""Seconds until a side looks again whether the other is still there."""


class _Closed(Exception):  # noqa: N818 - nobody pulls any more: no fault
    pass


class Channel(Sink, Growing):
    """An output of `fetch` and of `follow` at once. Nothing is taken back: what was pulled is out."""

    revocable = False

    def __init__(self) -> None:
        self._pieces: Queue[bytes] = Queue(WAITING)
        self._gathered = bytearray()
        self._closed = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def write(self, data: bytes) -> None:
        """Take the next lines, as soon as there is room for them."""
        self._gathered += data
        if len(self._gathered) >= PIECE:
            self.commit()

    def append(self, data: bytes, mark: Mark) -> None:  # noqa: ARG002 - nothing is marked
        """Take the lines of the next chunk, and give them out."""
        self.write(data)
        self.commit()

    def commit(self) -> None:
        """Give out what has gathered."""
        piece = bytes(self._gathered)
        self._gathered.clear()
        while piece:
            if self._closed.is_set():
                raise _Closed
            with suppress(Full):
                self._pieces.put(piece, timeout=_LOOK)
                return

    def pause(self, seconds: float) -> None:
        """Wait, unless nobody pulls any more."""
        if self._closed.wait(seconds):
            raise _Closed

    def run(self, push: "Callable[[Channel], Any]") -> None:
        """Have `push` write all of it."""
        try:
            push(self)
        except _Closed:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where it is pulled
            self._error = error
        finally:
            self._ended.set()

    def pull(self) -> Generator[bytes]:
        """What is written, until its end; an error of the writer's comes last."""
        while True:
            ended = self._ended.is_set()  # before the look: what was written before the end is there
            try:
                yield self._pieces.get(timeout=_LOOK if not ended else 0)
            except Empty:
                if not ended:
                    continue
                if self._error is not None:
                    raise self._error from None
                return

    def close(self) -> None:
        """Let the writer end."""
        self._closed.set()


def pulled(push: Callable[[Channel], Any]) -> Generator[bytes]:
    """The pieces that `push` writes in a thread of its own.

    Raises:
        What `push` raises.
    """
    with closing(Channel()) as channel:
        threading.Thread(target=channel.run, args=(push,), name="sealbatch-results", daemon=True).start()
        yield from channel.pull()
