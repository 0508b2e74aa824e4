"""Unwrap requests that go out on one connection, and the replies that come back on it."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from enclave_worker.keyring import CourierLost
from enclave_worker.refused import ChunkRefused
from wire.errors import StreamError
from wire.messages import Message, RefusalCode, Unwrap, UnwrapCode, Unwrapped, UnwrapRefused

_REFUSALS: Final = {
    UnwrapCode.DENIED: RefusalCode.KEY_DENIED,
    UnwrapCode.UNAVAILABLE: RefusalCode.KEY_UNAVAILABLE,
    UnwrapCode.INVALID: RefusalCode.KEY_INVALID,
}


@dataclass(slots=True)
class _Pending:
    arrived: threading.Event = field(default_factory=threading.Event)
    reply: Unwrapped | UnwrapRefused | None = None


class ConnectionCourier:
    """The courier behind one connection; `deliver` is called by the connection's reader, `unwrap` by workers."""

    def __init__(self, send: Callable[[Message], None], timeout: float) -> None:
        self._send = send
        self._timeout = timeout
        self._lock = threading.Lock()
        self._pending: dict[int, _Pending] = {}
        self._last = 0
        self._closed = False

    def unwrap(self, key_arn: str, context: Mapping[str, str], wrapped: bytes, document: bytes) -> bytes:
        """See `Courier.unwrap`."""
        request, pending = self._open()
        try:
            self._send(Unwrap(request, key_arn, tuple(context.items()), wrapped, document))
            in_time = pending.arrived.wait(self._timeout)
        except StreamError:
            raise CourierLost from None
        finally:
            with self._lock:
                self._pending.pop(request, None)
        if not in_time:
            raise ChunkRefused(RefusalCode.KEY_UNAVAILABLE)
        match pending.reply:
            case Unwrapped():
                return pending.reply.ciphertext
            case UnwrapRefused():
                raise ChunkRefused(_REFUSALS[pending.reply.code])
            case None:
                raise CourierLost

    def deliver(self, reply: Unwrapped | UnwrapRefused) -> bool:
        """Hand a reply to its request; False when none waits for it: it came late, or twice, or was made up."""
        with self._lock:
            pending = self._pending.pop(reply.request, None)
        if pending is None:
            return False
        pending.reply = reply
        pending.arrived.set()
        return True

    def close(self) -> None:
        """End all waiting: the connection is gone."""
        with self._lock:
            self._closed = True
            waiting = list(self._pending.values())
            self._pending.clear()
        for pending in waiting:
            pending.arrived.set()

    def _open(self) -> tuple[int, _Pending]:
        with self._lock:
            if self._closed:
                raise CourierLost
            self._last += 1
            pending = self._pending[self._last] = _Pending()
            return self._last, pending
