"""The work that one connection has outstanding, held within the window that `Ready` stated."""

import threading
from collections.abc import Callable
from dataclasses import dataclass


class DuplicateRef(Exception):  # noqa: N818 - says what it is
    """The peer used a reference a second time while the first is outstanding."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Chunks, and sealed bytes in them."""

    chunks: int
    bytes: int


class Window:
    """References of outstanding work and the sealed bytes of each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sizes: dict[int, int] = {}
        self._unsaid = 0
        self._changed = threading.Condition()

    def take(self, ref: int, size: int) -> bool:
        """Make room for a chunk; False when the window is full.

        Raises:
            DuplicateRef: `ref` is outstanding.
        """
        with self._changed:
            if ref in self._sizes:
                raise DuplicateRef
            if len(self._sizes) >= self._limits.chunks or sum(self._sizes.values()) + size > self._limits.bytes:
                return False
            self._sizes[ref] = size
            return True

    def give_back(self, ref: int) -> bool:
        """End a chunk; False when it had ended already. What says so to the peer is sent after this, and once.

        The caller that gets True calls `said` when that is done.
        """
        with self._changed:
            ended = self._sizes.pop(ref, None) is not None
            self._unsaid += ended
            self._changed.notify_all()
            return ended

    def said(self) -> None:
        """The end of a chunk was told to the peer, or cannot be."""
        with self._changed:
            self._unsaid -= 1
            self._changed.notify_all()

    def each(self, call: Callable[[int], None]) -> None:
        """Call with every outstanding reference; none ends meanwhile but by `clear`, which `call` may do."""
        with self._changed:
            for ref in tuple(self._sizes):
                call(ref)

    def clear(self) -> None:
        """End all of it: the connection is gone, and nobody is to wait for it."""
        with self._changed:
            self._sizes.clear()
            self._changed.notify_all()

    def outstanding(self) -> tuple[int, ...]:
        """The references that are outstanding now."""
        with self._changed:
            return tuple(self._sizes)

    def wait_empty(self, timeout: float) -> bool:
        """Wait until all that was taken has ended and the peer was told; False if not so after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._sizes and not self._unsaid, timeout)
