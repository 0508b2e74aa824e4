"""One enclave's connection: work out, answers in, and the courier's errands between."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from vsock_bridge.held import Piece
from wire import messages
from wire.address import Address
from wire.errors import StreamError, StreamTimeout, WireError
from wire.messages import Answer, Progress, Ready, Refusal, RefusalCode, Unwrap, Unwrapped, UnwrapRefused, Work
from wire.report import Report
from wire.stream import connect

CONNECT_TIMEOUT: Final = 10.0
MAX_UNWRAPS: Final = 64
"""Unwraps of one connection that may be under way; with more, nothing is read from it until one is done."""

_log = logging.getLogger("sealbatch.vsock_bridge")


class LinkEvents(Protocol):
    """What a link tells its owner, each from the link's own thread."""

    def answered(self, piece: Piece, sealed: bytes) -> None:
        """The enclave answered."""

    def refused(self, piece: Piece, code: RefusalCode, image: str) -> None:
        """The enclave, whose image that is, gave the piece back."""

    def progressed(self, piece: Piece) -> None:
        """The enclave works on it."""

    def lost(self, piece: Piece, *, sent: bool) -> None:
        """The connection ended before an answer; `sent` says whether the enclave had all of the piece by then."""


@dataclass(slots=True)
class _Outstanding:
    piece: Piece
    size: int
    begun: bool = False
    """The enclave may have some of it."""
    sent: bool = False


class Link:
    """A connection from `Ready` to its end.

    What is to be sent waits in a queue, and one thread writes it: an enclave that does not read holds up nobody but
    itself. The window and `MAX_UNWRAPS` bound the queue.
    """

    def __init__(
        self,
        address: Address,
        events: LinkEvents,
        unwrap: Callable[[Unwrap], Unwrapped | UnwrapRefused],
        couriers: Executor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect and take the enclave's `Ready`.

        Raises:
            WireError: nobody answers there, or what answers is no enclave of ours.
        """
        self.address = address
        self._events = events
        self._clock = clock
        self._heard_at = clock()
        self._unwraps = threading.BoundedSemaphore(MAX_UNWRAPS)
        self._unwrap = unwrap
        self._couriers = couriers
        self._sender = ThreadPoolExecutor(1, thread_name_prefix=f"to {address}")
        self._lock = threading.Lock()
        self._outstanding: dict[int, _Outstanding] = {}
        self._bytes = 0
        self._next = 0
        self.report: Report | None = None
        self._open = True
        self._stream = connect(address, CONNECT_TIMEOUT)
        try:
            self.ready = self._take_ready()
        except WireError:
            self._stream.close()
            raise

    def room(self) -> int:
        """Pieces that the window has room for."""
        with self._lock:
            return self.ready.window_chunks - len(self._outstanding) if self._open else 0

    def send(self, piece: Piece, sealed: bytes) -> bool:
        """Queue a piece of a chunk; False if it does not fit the window, would not be alone, or nobody is there."""
        with self._lock:
            full = len(self._outstanding) >= (1 if piece.alone else self.ready.window_chunks)
            if not self._open or full or self._bytes + len(sealed) > self.ready.window_bytes:
                return False
            if not self._outstanding:
                self._heard_at = self._clock()
            self._next += 1
            piece.held.waiting = False
            self._outstanding[self._next] = outstanding = _Outstanding(piece, len(sealed))
            self._bytes += len(sealed)
            self._write(self._hand_over, Work(self._next, piece.first, piece.count, sealed), outstanding)
        return True

    def serve(self) -> None:
        """Receive until the connection ends; what is outstanding then is reported lost."""
        try:
            while (body := self._stream.receive()) is not None:
                self._handle(messages.decode(body))
        except WireError as error:
            _log.warning(
                "enclave connection failed address=%s reason=%s: what it had is asked of another", self.address, error
            )
        finally:
            self.close()
            self._sender.shutdown()
            with self._lock:
                left = list(self._outstanding.values())
                self._outstanding.clear()
            for outstanding in left:
                self._events.lost(outstanding.piece, sent=outstanding.sent)

    def hung(self, limit: float) -> bool:
        """Whether nothing has come for `limit` seconds though the enclave has work."""
        with self._lock:
            return bool(self._outstanding) and self._clock() - self._heard_at > limit

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._open = False
        self._stream.close()

    def _take_ready(self) -> Ready:
        body = self._stream.receive(CONNECT_TIMEOUT)
        message = None if body is None else messages.decode(body)
        if not isinstance(message, Ready):
            raise WireError("the enclave's first message is not Ready")
        return message

    def _handle(self, message: messages.Message) -> None:
        if isinstance(message, Report):
            # It comes by the clock, also from an enclave whose engine hangs: no sign that the work goes on.
            self.report = message
            return
        self._heard_at = self._clock()
        match message:
            case Answer(ref, sealed):
                if (piece := self._take(ref)) is not None:
                    self._events.answered(piece, sealed)
            case Refusal(ref, code):
                if (piece := self._take(ref)) is not None:
                    self._events.refused(piece, code, self.ready.image)
            case Progress(ref):
                with self._lock:
                    outstanding = self._outstanding.get(ref)
                if outstanding is not None:
                    self._events.progressed(outstanding.piece)
            case Unwrap():
                self._unwraps.acquire()
                self._couriers.submit(self._unwrap, message).add_done_callback(self._carried)
            case _:
                raise WireError("the enclave sent a message that only a bridge sends")

    def _write(self, write: Callable[..., None], *arguments: object) -> None:
        """Have the thread that writes do this; a fault in it ends the connection, so that what was to go is lost."""

        def written(writing: Future[None]) -> None:
            if (fault := writing.exception()) is not None:
                _log.critical(
                    "not written to enclave address=%s error=%s: a fault of sealbatch; its connection is closed and "
                    "others get the work, nothing is lost; please report it with `sealbatch support-bundle`",
                    self.address,
                    type(fault).__name__,
                )
                self._stream.close()

        self._sender.submit(write, *arguments).add_done_callback(written)

    def _hand_over(self, work: Work, outstanding: _Outstanding) -> None:
        outstanding.begun = True
        try:
            self._stream.send(messages.encode(work))
            outstanding.sent = True
        except StreamTimeout:
            _log.error(
                "enclave does not read address=%s: its connection is closed and others get the work; if it comes "
                "again, restart the enclave",
                self.address,
            )
        except StreamError:
            return  # the reader finds the same end, and reports all that is outstanding

    def _carried(self, unwrapped: Future[Unwrapped | UnwrapRefused]) -> None:
        with self._lock:
            if self._open:
                self._write(self._reply, unwrapped)
                return
        self._unwraps.release()

    def _reply(self, unwrapped: Future[Unwrapped | UnwrapRefused]) -> None:
        try:
            if (fault := unwrapped.exception()) is None:
                self._stream.send(messages.encode(unwrapped.result()))
            else:
                _log.critical(
                    "courier failed error=%s: a fault of sealbatch; the enclave gives the chunk back, nothing is lost; "
                    "please report it with `sealbatch support-bundle`",
                    type(fault).__name__,
                )
        except (StreamError, CancelledError):
            _log.warning("unwrap reply had no taker address=%s: its enclave has gone, and asks anew", self.address)
        finally:
            self._unwraps.release()

    def _take(self, ref: int) -> Piece | None:
        with self._lock:
            outstanding = self._outstanding.get(ref)
            if outstanding is None:
                return None
            if not outstanding.begun:  # it would leave the window while it still waits in the queue
                raise WireError("the enclave ended work that it was not sent")
            del self._outstanding[ref]
            self._bytes -= outstanding.size
            return outstanding.piece
