"""The one module with sockets: frames over AF_VSOCK or AF_UNIX, by address alone.

Writes are split into 16 KiB: a guest that sends more than about 32 KiB at once over vsock stalls or corrupts the stream
on kernels in use (cloud-hypervisor issue 7672). Waiting is done with `select`, never with socket timeouts, because a
reader and a writer share each socket from two threads and a socket has one timeout.
"""

import contextlib
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from wire.errors import StreamClosed, StreamError, StreamTimeout
from wire.framing import CLOSED, FrameDecoder, encode_frame

MAX_WRITE: Final = 16 * 1024
READ_SIZE: Final = 64 * 1024
BACKLOG: Final = 16
MAX_UNIX_PATH: Final = 107
"""Bytes of a unix socket's path: sun_path of 108 with its final zero."""
SEND_TIMEOUT: Final = 60.0
"""Seconds that a peer may take to read one frame before it counts as gone."""

PORT: Final = 5005
"""Where a worker listens in its enclave."""

_VSOCK = re.compile(r"vsock://([0-9]{1,10}):([0-9]{1,10})")


@dataclass(frozen=True, slots=True)
class Address:
    """Where an enclave listens: `vsock://CID:PORT` or `unix:///PATH`."""

    path: str | None
    cid: int = 0
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address that `text` names.

        Raises:
            ValueError: it is neither form, or a number or path is out of range.
        """
        if text.startswith("unix:///"):
            path = text.removeprefix("unix://")
            if len(path.encode()) > MAX_UNIX_PATH:
                raise ValueError(
                    f"a unix socket's path has at most {MAX_UNIX_PATH} bytes, this one {len(path.encode())}"
                )
            return cls(path)
        match = _VSOCK.fullmatch(text)
        if match is None:
            raise ValueError("an enclave's address is vsock://CID:PORT or unix:///PATH")
        cid, port = int(match[1]), int(match[2])
        # 0xFFFFFFFF is VMADDR_CID_ANY and VMADDR_PORT_ANY.
        if cid > 0xFFFFFFFF or port >= 0xFFFFFFFF:
            raise ValueError("CID and port are 32-bit numbers")
        return cls(None, cid, port)

    def __str__(self) -> str:
        return f"vsock://{self.cid}:{self.port}" if self.path is None else f"unix://{self.path}"

    def socket(self) -> socket.socket:
        """A new socket of this address's family."""
        family = socket.AF_VSOCK if self.path is None else socket.AF_UNIX
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)

    def target(self) -> str | tuple[int, int]:
        """The address as `bind` and `connect` take it."""
        return (self.cid, self.port) if self.path is None else self.path


class Stream:
    """One connection that carries frames. One thread may receive while others send."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._decoder = FrameDecoder()
        self._sending = threading.Lock()
        self._state = threading.Lock()
        self._users = 0
        self._closed = False

    def send(self, body: bytes, timeout: float = SEND_TIMEOUT) -> None:
        """Write one frame whole; safe from several threads.

        Raises:
            StreamTimeout: the peer did not read within `timeout` seconds; the stream is closed, a frame being half
            written. StreamClosed: the peer is gone or the stream was closed here.
        """
        view = memoryview(encode_frame(body))
        deadline = time.monotonic() + timeout
        with self._sending, self._in_use():
            try:
                while view:
                    self._wait(write=True, deadline=deadline)
                    with contextlib.suppress(BlockingIOError):
                        view = view[self._socket.send(view[:MAX_WRITE]) :]
            except OSError as error:
                self.close()
                raise StreamClosed("the peer is gone") from error
            except StreamTimeout:
                self.close()
                raise

    def receive(self, timeout: float | None = None) -> bytes | None:
        """The next frame's body, or None when the peer ended the stream between two frames.

        Raises:
            StreamTimeout: no whole frame within `timeout` seconds; what came is kept for the next call.
            StreamClosed: the connection broke or was closed here.
            FramingError: the peer's bytes are no frames.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._in_use():
            while not isinstance(frame := self._decoder.next_frame(), bytes):
                if frame is CLOSED:
                    return None
                self._wait(write=False, deadline=deadline)
                try:
                    data = self._socket.recv(READ_SIZE)
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise StreamClosed("the peer is gone") from error
                self._decoder.receive_data(data)
            return frame

    def close(self) -> None:
        """End the stream in both directions; a receiver in another thread gets its end."""
        with self._state:
            self._closed = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        """While a thread is inside, the descriptor stays open: closed, its number could become another socket's."""
        with self._state:
            if self._closed:
                raise StreamClosed("the stream was closed")
            self._users += 1
        try:
            yield
        finally:
            with self._state:
                self._users -= 1
                self._release()

    def _release(self) -> None:
        if self._closed and self._users == 0:
            self._socket.close()

    def _wait(self, *, write: bool, deadline: float | None) -> None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT if write else select.POLLIN)
        if not poll.poll(None if left is None else left * 1000):
            raise StreamTimeout("nothing moved within the time allowed")


class Listener:
    """A bound socket that hands out streams."""

    def __init__(self, sock: socket.socket, path: Path | None) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._path = path

    def accept(self, timeout: float) -> Stream | None:
        """The next connection, or None when none came within `timeout` seconds.

        Raises:
            StreamClosed: the listener was closed.
        """
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLIN)
            if not poll.poll(timeout * 1000):
                return None
            return Stream(self._socket.accept()[0])
        except BlockingIOError:
            return None
        except (OSError, ValueError) as error:
            raise StreamClosed("the listener was closed") from error

    def close(self) -> None:
        """Stop listening; a unix socket's file goes with it."""
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def listen(address: Address) -> Listener:
    """Bind and listen; a unix socket is for its owner alone, and a stale file at its path is replaced.

    Raises:
        StreamError: the address cannot be bound.
    """
    path = None if address.path is None else Path(address.path)
    sock = address.socket()
    try:
        if path is not None:
            path.unlink(missing_ok=True)
        sock.bind(address.target())
        if path is not None:
            path.chmod(0o600)  # nobody can connect between bind and listen
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise StreamError(f"cannot listen on {address}: {error.strerror}") from error
    return Listener(sock, path)


def connect(address: Address, timeout: float) -> Stream:
    """Connect within `timeout` seconds.

    Raises:
        StreamError: nobody listens there. A vsock port without a listener may end in a timeout instead of a refusal.
    """
    sock = address.socket()
    try:
        sock.settimeout(timeout)
        sock.connect(address.target())
    except OSError as error:
        sock.close()
        raise StreamError(f"no enclave answers at {address}") from error
    return Stream(sock)
