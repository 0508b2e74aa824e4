"""Frames on a stream: a 4-byte big-endian length, then that many bytes. No I/O happens here.

The decoder is given bytes as they come and hands out whole frames; after an error it is dead, because nothing that
follows on such a connection can be trusted to start where a frame starts.
"""

import enum
from typing import Final

from wire.errors import FramingError

LENGTH_BYTES: Final = 4
MAX_FRAME: Final = 16 * 1024 * 1024
"""Largest body in bytes. The largest message is a sealed chunk of at most `wire.envelope.MAX_SEALED`, 12 MiB."""


class Signal(enum.Enum):
    """What `FrameDecoder.next_frame` says when there is no frame."""

    NEED_DATA = enum.auto()
    CLOSED = enum.auto()


NEED_DATA: Final = Signal.NEED_DATA
CLOSED: Final = Signal.CLOSED


def encode_frame(body: bytes) -> bytes:
    """`body` with its length in front.

    Raises:
        ValueError: our own misuse: the body is empty or longer than `MAX_FRAME`.
    """
    if not 0 < len(body) <= MAX_FRAME:
        raise ValueError(f"a frame has 1 to {MAX_FRAME} bytes, not {len(body)}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class FrameDecoder:
    """Bytes in, frames out.

    ```
    decoder.receive_data(data)                          # b"" means that the stream ended
    while isinstance(frame := decoder.next_frame(), bytes): ...
    ```
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._ended = False
        self._error: str | None = None

    def receive_data(self, data: bytes) -> None:
        """Take the next bytes of the stream, at most one read's worth; `b""` marks its end.

        Raises:
            RuntimeError: our own misuse: data after the end.
        """
        if self._ended:
            raise RuntimeError("data after the end of the stream")
        if data:
            self._buffer += data
        else:
            self._ended = True

    def next_frame(self) -> bytes | Signal:
        """The next whole frame's body, `NEED_DATA`, or `CLOSED` when the stream ended between two frames.

        Raises:
            FramingError: the length is zero or above the limit, or the stream ended inside a frame. Once and for ever.
        """
        if self._error is not None:
            raise FramingError(self._error)
        if len(self._buffer) >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            if not 0 < length <= self._max_frame:
                self._fail(f"frame of {length} bytes, 1 to {self._max_frame} are allowed")
            end = LENGTH_BYTES + length
            if len(self._buffer) >= end:
                frame = bytes(memoryview(self._buffer)[LENGTH_BYTES:end])
                del self._buffer[:end]
                return frame
        if not self._ended:
            return NEED_DATA
        if self._buffer:
            self._fail("the stream ended inside a frame")
        return CLOSED

    def _fail(self, text: str) -> None:
        self._error = text
        self._buffer.clear()
        raise FramingError(text)
