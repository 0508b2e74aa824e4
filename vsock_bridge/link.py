"""One enclave's connection: work out, answers in, and the courier's errands between."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from vsock_bridge.held import Held
from wire import messages
from wire.errors import StreamError, WireError
from wire.messages import Answer, Progress, Ready, Refusal, RefusalCode, Unwrap, Unwrapped, UnwrapRefused, Work
from wire.stream import Address, connect

CONNECT_TIMEOUT = 10.0

_log = logging.getLogger("sealbatch.vsock_bridge")


class LinkEvents(Protocol):
    """What a link tells its owner, each from the link's own thread."""

    def answered(self, held: Held, sealed: bytes) -> None:
        """The enclave answered."""

    def refused(self, held: Held, code: RefusalCode, image: str) -> None:
        """The enclave, whose image that is, gave the chunk back."""

    def progressed(self, held: Held) -> None:
        """The enclave works on it."""

    def lost(self, held: Held) -> None:
        """The connection ended before an answer."""


@dataclass(slots=True)
class _Outstanding:
    held: Held
    size: int


class Link:
    """A connection from `Ready` to its end."""

    def __init__(
        self,
        address: Address,
        events: LinkEvents,
        unwrap: Callable[[Unwrap], Unwrapped | UnwrapRefused],
        couriers: Executor,
    ) -> None:
        """Connect and take the enclave's `Ready`.

        Raises:
            WireError: nobody answers there, or what answers is no enclave of ours.
        """
        self._events = events
        self._unwrap = unwrap
        self._couriers = couriers
        self._lock = threading.Lock()
        self._outstanding: dict[int, _Outstanding] = {}
        self._bytes = 0
        self._next = 0
        self._open = True
        self._stream = connect(address, CONNECT_TIMEOUT)
        try:
            self.ready = self._take_ready()
        except WireError:
            self._stream.close()
            raise

    def room(self) -> int:
        """Chunks that the window has room for."""
        with self._lock:
            return self.ready.window_chunks - len(self._outstanding) if self._open else 0

    def send(self, held: Held, sealed: bytes) -> bool:
        """Hand a chunk over; False if it does not fit the window or the connection has ended."""
        with self._lock:
            full = len(self._outstanding) >= self.ready.window_chunks
            if not self._open or full or self._bytes + len(sealed) > self.ready.window_bytes:
                return False
            self._next += 1
            ref = self._next
            self._outstanding[ref] = _Outstanding(held, len(sealed))
            self._bytes += len(sealed)
        try:
            self._stream.send(messages.encode(Work(ref, held.chunk.first, held.chunk.count, sealed)))
        except StreamError:
            # The reader finds the same end and gives back all that is outstanding, unless it was quicker than we were.
            return self._take(ref) is None
        return True

    def serve(self) -> None:
        """Receive until the connection ends; what is outstanding then is reported lost."""
        try:
            while (body := self._stream.receive()) is not None:
                self._handle(messages.decode(body))
        except WireError as error:
            _log.warning("enclave connection failed reason=%s", error)
        finally:
            self.close()
            with self._lock:
                lost = [outstanding.held for outstanding in self._outstanding.values()]
                self._outstanding.clear()
            for held in lost:
                self._events.lost(held)

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
        match message:
            case Answer(ref, sealed):
                if (held := self._take(ref)) is not None:
                    self._events.answered(held, sealed)
            case Refusal(ref, code):
                if (held := self._take(ref)) is not None:
                    self._events.refused(held, code, self.ready.image)
            case Progress(ref):
                with self._lock:
                    outstanding = self._outstanding.get(ref)
                if outstanding is not None:
                    self._events.progressed(outstanding.held)
            case Unwrap():
                self._couriers.submit(self._carry, message)
            case _:
                raise WireError("the enclave sent a message that only a bridge sends")

    def _carry(self, request: Unwrap) -> None:
        reply = self._unwrap(request)
        try:
            self._stream.send(messages.encode(reply))
        except StreamError:
            _log.warning("unwrap reply had no taker")

    def _take(self, ref: int) -> Held | None:
        with self._lock:
            outstanding = self._outstanding.pop(ref, None)
            if outstanding is None:
                return None
            self._bytes -= outstanding.size
            return outstanding.held
