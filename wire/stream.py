"""The one module with sockets: frames over AF_VSOCK or AF_UNIX, by address alone.

Writes are split into 16 KiB: a guest that sends more than about 32 KiB at once over vsock stalls or corrupts the stream
on kernels in use (cloud-hypervisor issue 7672). Waiting is done with `select`, never with socket timeouts, because a
reader and a writer share each socket from two threads and a socket has one timeout.
"""

import contextlib
import errno
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from wire.address import Address
from wire.errors import StreamClosed, StreamError, StreamTimeout
from wire.framing import CLOSED, FrameDecoder, encode_frame

MAX_WRITE: Final = 16 * 1024
READ_SIZE: Final = 64 * 1024
BACKLOG: Final = 16
SEND_TIMEOUT: Final = 60.0
"""Seconds that a peer may take to read one frame before it counts as gone."""
ACCEPT_PAUSE: Final = 0.1
"""Seconds of rest after a connection could not be accepted for want of descriptors or memory."""
MAX_GREETING: Final = 32
"""Bytes of the line with which a monitor of virtual machines says that a port is connected."""

_NOT_OURS: Final = frozenset({errno.ECONNABORTED, errno.ECONNRESET, errno.EPROTO, errno.EINTR, errno.ETIMEDOUT})
_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


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
            StreamTimeout: the peer did not read it within `timeout` seconds, counted from this frame's turn; the stream
            is closed, a frame being half written. StreamClosed: the peer is gone or the stream was closed here.
        """
        view = memoryview(encode_frame(body))
        with self._sending, self._in_use():
            # Time begins here: a frame that waited behind others of a slow but moving peer has its whole allowance.
            deadline = time.monotonic() + timeout
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

        A connection that is gone again before it is taken, or for which there is no descriptor, is none: neither ends
        the listener.

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
            number = getattr(error, "errno", None)
            if number in _SHORTAGE:
                time.sleep(min(timeout, ACCEPT_PAUSE))  # the connection still waits, so a poll would return at once
            elif number not in _NOT_OURS:
                raise StreamClosed("the listener was closed") from error
            return None

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
    if address.hybrid:
        raise StreamError(f"cannot listen on {address}: it belongs to a virtual machine's monitor")
    path = None if address.path is None else Path(address.path)
    try:
        sock = _new_socket(address)
    except OSError as error:
        raise StreamError(f"cannot listen on {address}: {error.strerror}") from error
    try:
        if path is not None:
            path.unlink(missing_ok=True)
        sock.bind(_target(address))
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
        StreamError: nobody listens there; the text says the system's reason. Over vsock a port without a listener
        is reset by some systems and runs into a timeout on others.
    """
    deadline = time.monotonic() + timeout
    try:
        sock = _new_socket(address)
    except OSError as error:
        raise StreamError(f"no enclave answers at {address}: {_reason(error)}") from error
    try:
        sock.settimeout(timeout)
        sock.connect(_target(address))
        if address.hybrid:
            _name_port(sock, address, deadline)
    except OSError as error:
        sock.close()
        raise StreamError(f"no enclave answers at {address}: {_reason(error)}") from error
    return Stream(sock)


def _name_port(sock: socket.socket, address: Address, deadline: float) -> None:
    """Ask the monitor for the port; its reply is read byte by byte, because frames may follow at once."""
    sock.sendall(f"CONNECT {address.port}\n".encode())
    reply = b""
    while not reply.endswith(b"\n"):
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        byte = sock.recv(1)
        if not byte:  # what a monitor does when the guest refuses
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        reply += byte
        if len(reply) > MAX_GREETING:
            break
    if not (reply.startswith(b"OK ") and reply.endswith(b"\n")):
        raise OSError(errno.EPROTO, "the socket is none of a virtual machine's monitor")


def _new_socket(address: Address) -> socket.socket:
    family = socket.AF_VSOCK if address.path is None else socket.AF_UNIX
    return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)


def _target(address: Address) -> str | tuple[int, int | None]:
    """The address as `bind` and `connect` take it."""
    return (address.cid, address.port) if address.path is None else address.path


def _reason(error: OSError) -> str:
    """The system's words, which Python leaves out when its own clock ran out first."""
    return (error.strerror or os.strerror(errno.ETIMEDOUT)).lower()
