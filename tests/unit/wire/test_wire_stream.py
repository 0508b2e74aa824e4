"""Streams over real unix sockets."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wire.address import Address
from wire.errors import FramingError, StreamClosed, StreamError, StreamTimeout
from wire.stream import Stream, connect, listen


@pytest.fixture
def pair() -> Iterator[tuple[Stream, Stream]]:
    """Two ends of one connection."""
    left, right = socket.socketpair()
    with Stream(left) as one, Stream(right) as two:
        yield one, two


@pytest.mark.parametrize("text", ["vsock://16:5005", "unix:///run/enclave.sock", "hvsock:///run/vm:1.sock:5005"])
def test_an_address_reads_back(text: str) -> None:
    """Each form has one spelling."""
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vsock://a:1",
        "vsock://1",
        "vsock://4294967296:1",
        "vsock://1:4294967295",
        "unix://relative",
        "tcp://h:1",
        "hvsock:///x",
        "hvsock://x:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """A wrong address is a ValueError that says the forms."""
    with pytest.raises(ValueError, match=r"address|32-bit"):
        Address.parse(text)


def test_a_path_that_the_kernel_would_cut_is_refused() -> None:
    """sun_path has 108 bytes; a longer path would be another socket."""
    for text in ("unix:///" + "a" * 107, "hvsock:///" + "a" * 107 + ":1"):
        with pytest.raises(ValueError, match="107"):
            Address.parse(text)


def test_writes_are_of_16_kib_at_most() -> None:
    """A guest that writes more than 32 KiB at once stalls; a socket that keeps the bounds of writes shows ours."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Stream(left) as stream, right:
        sender = threading.Thread(target=stream.send, args=(bytes(200_000),))
        sender.start()
        sizes = []
        while sum(sizes) < 200_004:
            sizes.append(len(right.recv(1_000_000)))
        sender.join()
    assert max(sizes) == 16 * 1024


def test_frames_of_many_sizes_cross_both_ways(pair: tuple[Stream, Stream]) -> None:
    """Larger than any socket buffer, with a reader in another thread."""
    one, two = pair
    bodies = [b"a", bytes(70_000), bytes(3_000_000)]
    received: list[bytes | None] = []
    reader = threading.Thread(target=lambda: received.extend(two.receive(timeout=10) for _ in bodies))
    reader.start()
    for body in bodies:
        one.send(body)
    reader.join()
    assert received == bodies


def test_many_senders_do_not_mix_their_frames(pair: tuple[Stream, Stream]) -> None:
    """Each frame arrives whole, whoever sent it."""
    one, two = pair
    senders = [threading.Thread(target=one.send, args=(bytes([n]) * 200_000,)) for n in range(4)]
    for sender in senders:
        sender.start()
    frames = [two.receive(timeout=10) for _ in senders]
    for sender in senders:
        sender.join()
    assert sorted(frame[0] for frame in frames if frame) == [0, 1, 2, 3]
    assert all(frame is not None and set(frame) == {frame[0]} and len(frame) == 200_000 for frame in frames)


def test_an_orderly_end_is_none(pair: tuple[Stream, Stream]) -> None:
    """The peer's end between two frames is no error."""
    one, two = pair
    one.send(b"last")
    one.close()
    assert two.receive(timeout=10) == b"last"
    assert two.receive(timeout=10) is None


def test_an_end_inside_a_frame_is_an_error() -> None:
    """Half a frame is never a frame."""
    left, right = socket.socketpair()
    left.sendall(b"\0\0\0\5ab")
    left.close()
    with Stream(right) as stream, pytest.raises(FramingError):
        stream.receive(timeout=10)


def test_a_timeout_keeps_what_came() -> None:
    """A slow frame is finished by a later call."""
    left, right = socket.socketpair()
    left.sendall(b"\0\0\0\5ab")
    with Stream(right) as stream:
        with pytest.raises(StreamTimeout):
            stream.receive(timeout=0.01)
        left.sendall(b"cde")
        assert stream.receive(timeout=10) == b"abcde"
    left.close()


def test_a_peer_that_does_not_read_stops_a_send(pair: tuple[Stream, Stream]) -> None:
    """A send gives up in time, and the stream with a half-written frame is closed."""
    one, _ = pair
    with pytest.raises(StreamTimeout):
        one.send(bytes(8_000_000), timeout=0.05)
    with pytest.raises(StreamClosed):
        one.send(b"more")


def test_closing_wakes_a_reader(pair: tuple[Stream, Stream]) -> None:
    """A thread that waits for frames gets its end when another closes the stream."""
    one, _ = pair
    ended = threading.Event()

    def read() -> None:
        with contextlib.suppress(StreamClosed):
            assert one.receive() is None
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    one.close()
    assert ended.wait(10)


def test_listening_makes_a_socket_for_its_owner_alone(tmp_path: Path) -> None:
    """The socket file has mode 0600, replaces a stale one, and goes with the listener."""
    path = Path("/tmp") / f"{tmp_path.parent.name}-{tmp_path.name}.sock"
    path.touch()
    address = Address.parse(f"unix://{path}")
    listener = listen(address)
    assert path.stat().st_mode & 0o777 == 0o600
    assert listener.accept(timeout=0.01) is None
    with connect(address, timeout=5) as client:
        server = listener.accept(timeout=5)
        assert server is not None
        client.send(b"hello")
        assert server.receive(timeout=5) == b"hello"
        server.close()
    listener.close()
    assert not path.exists()
    with pytest.raises(StreamError, match="no enclave answers"):
        connect(address, timeout=1)
    with pytest.raises(StreamClosed):
        listener.accept(timeout=0.01)


def test_a_place_that_cannot_be_bound_is_named() -> None:
    """The error says the address and the system's reason."""
    with pytest.raises(StreamError, match="cannot listen on unix:///nowhere/x: No such file"):
        listen(Address.parse("unix:///nowhere/x"))


def test_a_monitors_socket_is_not_listened_on() -> None:
    """It belongs to the virtual machine's monitor; removing it would cut the machine off."""
    with pytest.raises(StreamError, match="cannot listen on hvsock:///run/vm:5005: it belongs"):
        listen(Address.parse("hvsock:///run/vm:5005"))
