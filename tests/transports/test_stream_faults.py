"""What a transport does when something goes wrong, met by our stream: on unix sockets and on real AF_VSOCK."""

import contextlib
import errno
import os
import resource
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from places import PATIENCE, Peer, Place
from waiting import wait_until

import wire.stream
from wire.address import Address
from wire.errors import StreamClosed, StreamError, StreamTimeout, WireError
from wire.framing import encode_frame
from wire.stream import Listener, Stream, connect

LARGE = os.urandom(4_000_000)


def send_for_ever(stream: Stream) -> None:
    """Send until the stream says that it cannot."""
    while True:
        stream.send(LARGE, timeout=10 * PATIENCE)


def test_four_megabytes_cross_both_ways_at_once(place: Place, listener: Listener) -> None:
    """A guest that writes more than 32 KiB at once stalls for ever, and a lost byte would be seen."""
    client = connect(place.connect, PATIENCE)
    server = listener.accept(PATIENCE)
    assert server is not None
    received: dict[str, bytes | None] = {}

    def echo(name: str, stream: Stream) -> None:
        received[name] = stream.receive(PATIENCE)

    threads = [threading.Thread(target=echo, args=item) for item in (("client", client), ("server", server))]
    threads += [threading.Thread(target=stream.send, args=(LARGE,)) for stream in (client, server)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert received == {"client": LARGE, "server": LARGE}
    client.close()
    server.close()


def test_what_came_before_the_end_is_whole(peer: Peer) -> None:
    """An enclave that answers and ends: the answer counts, and then the end."""
    frame = encode_frame(LARGE)
    sender = threading.Thread(target=lambda: (peer.raw.sendall(frame), peer.raw.close()))
    sender.start()
    assert peer.stream.receive(PATIENCE) == LARGE
    assert peer.stream.receive(PATIENCE) is None
    sender.join(PATIENCE)


def test_a_reset_in_the_middle_of_a_frame_ends_the_stream(peer: Peer) -> None:
    """Bytes on their way to the peer make its end a reset and not an orderly end; half a frame is no frame."""
    peer.stream.send(b"nobody reads this")
    peer.raw.sendall(encode_frame(b"0123456789")[:7])
    peer.raw.close()
    with pytest.raises(WireError):
        peer.stream.receive(PATIENCE)


def test_a_reset_wakes_a_sender_that_waits(peer: Peer) -> None:
    """The peer goes while we wait for it to read: we hear of it, long before our patience ends."""
    heard: list[str] = []

    def send() -> None:
        with pytest.raises(StreamClosed):
            send_for_ever(peer.stream)
        heard.append("closed")

    sender = threading.Thread(target=send)
    sender.start()
    peer.raw.recv(1000)
    peer.raw.close()
    sender.join(PATIENCE)
    assert heard == ["closed"]


def test_a_half_closed_peer_still_gets_its_answer(peer: Peer) -> None:
    """One who has said all it will say may listen on."""
    peer.raw.sendall(encode_frame(b"last"))
    peer.raw.shutdown(socket.SHUT_WR)
    assert peer.stream.receive(PATIENCE) == b"last"
    assert peer.stream.receive(PATIENCE) is None
    peer.stream.send(b"answer")
    assert peer.raw.recv(100) == encode_frame(b"answer")


def test_a_peer_that_stops_listening_is_gone(peer: Peer) -> None:
    """What cannot be delivered is an error at once and not a wait."""
    peer.raw.shutdown(socket.SHUT_RD)
    with pytest.raises(StreamClosed):
        send_for_ever(peer.stream)


def test_a_half_close_in_the_middle_of_a_frame_is_an_error(peer: Peer) -> None:
    """No more will come, so half a frame never becomes one."""
    peer.raw.sendall(encode_frame(b"0123456789")[:7])
    peer.raw.shutdown(socket.SHUT_WR)
    with pytest.raises(WireError):
        peer.stream.receive(PATIENCE)


def test_a_slow_reader_gets_every_frame_whole(peer: Peer) -> None:
    """It takes a few bytes at a time, and loses none."""
    frame = encode_frame(LARGE[:300_000])
    sender = threading.Thread(target=peer.stream.send, args=(LARGE[:300_000],))
    sender.start()
    got = bytearray()
    while len(got) < len(frame):
        got += peer.raw.recv(997)
    sender.join(PATIENCE)
    assert bytes(got) == frame


def test_a_frame_that_waits_behind_a_slow_one_keeps_its_own_time(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: time began while the frame waited for its turn, so a slow but moving peer lost its connection."""
    now = 0.0

    def clock() -> float:
        return now

    monkeypatch.setattr(wire.stream, "time", SimpleNamespace(monotonic=clock))
    with ThreadPoolExecutor(2) as senders:
        first = senders.submit(peer.stream.send, LARGE, 1000.0)
        wait_until(peer.stream._sending.locked, what="the first sender's turn")
        second = senders.submit(peer.stream.send, LARGE, 100.0)
        wait_until(second.running, what="the second sender")
        now = 500.0
        frames = encode_frame(LARGE) * 2
        got = bytearray()
        while len(got) < len(frames) and (data := peer.raw.recv(65_536)):
            got += data
        first.result(PATIENCE)
        second.result(PATIENCE)
    assert bytes(got) == frames


def test_a_reader_that_stops_is_given_up(peer: Peer) -> None:
    """The frame is half written, so the stream ends."""
    with pytest.raises(StreamTimeout):
        peer.stream.send(LARGE, timeout=0.05)
    with pytest.raises(StreamClosed):
        peer.stream.send(b"more")


def test_closing_wakes_a_reader_and_a_sender(peer: Peer) -> None:
    """Threads that wait on the stream get its end when another closes it."""
    ended: list[str] = []

    def receive() -> None:
        with contextlib.suppress(StreamClosed):
            assert peer.stream.receive() is None
        ended.append("receiver")

    def send() -> None:
        with pytest.raises(StreamClosed):
            peer.stream.send(LARGE, timeout=10 * PATIENCE)
        ended.append("sender")

    threads = [threading.Thread(target=run) for run in (receive, send)]
    for thread in threads:
        thread.start()
    peer.raw.recv(1000)
    peer.stream.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(ended) == ["receiver", "sender"]


def test_nobody_there_is_said_with_the_systems_reason(place: Place) -> None:
    """A refusal on unix sockets, a reset on vsock, and on some systems a timeout: all are nobody there."""
    with pytest.raises(
        StreamError, match=r"no enclave answers at .*: (no such file|connection re|connection timed out)"
    ):
        connect(place.connect, PATIENCE)


@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENODEV, None])
def test_however_a_connect_ends_it_is_nobody_there(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    """ETIMEDOUT among them, in place of the reset that one would expect; None is Python's own timeout."""

    class Failing(socket.socket):
        def connect(self, _address: object) -> None:
            raise TimeoutError("timed out") if number is None else OSError(number, os.strerror(number))

    monkeypatch.setattr(wire.stream.socket, "socket", Failing)
    said = os.strerror(number or errno.ETIMEDOUT).lower()
    with pytest.raises(StreamError, match=said):
        connect(place.connect, PATIENCE)


def test_a_shortage_of_descriptors_does_not_end_a_listener(place: Place, listener: Listener) -> None:
    """Bug: any error of accept passed for the listener's end, and the enclave with it ended."""
    client = place.raw()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, not paths
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest + 2)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        assert listener.accept(0.2) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)
    stream = listener.accept(PATIENCE)
    assert stream is not None
    stream.close()
    client.close()


def test_a_connection_that_is_gone_again_does_not_end_a_listener(place: Place, listener: Listener) -> None:
    """It was made and reset before anybody took it."""
    place.raw().close()
    gone = listener.accept(PATIENCE)
    if gone is not None:
        with contextlib.suppress(StreamClosed):
            assert gone.receive(PATIENCE) is None
        gone.close()
    client = place.raw()
    stream = listener.accept(PATIENCE)
    assert stream is not None
    stream.close()
    client.close()


def test_a_place_can_be_taken_again_at_once(place: Place) -> None:
    """An enclave that comes up again listens where it listened."""
    for _ in range(3):
        listener = wire.stream.listen(place.listen)
        client = connect(place.connect, PATIENCE)
        server = listener.accept(PATIENCE)
        assert server is not None
        server.send(b"ready")
        assert client.receive(PATIENCE) == b"ready"
        server.close()
        listener.close()
        client.close()


def test_a_monitor_that_never_says_ok_is_nobody_there(tmp_path: Path) -> None:
    """Neither silence nor anything else than OK is a connection to the guest."""
    path = tmp_path / "monitor"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
        monitor.bind(str(path))
        monitor.listen()
        address = Address.parse(f"hvsock://{path}:5005")
        with pytest.raises(StreamError, match="timed out"):
            connect(address, 0.05)
        monitor.accept()[0].close()
        for reply, reason in ((b"", "refused"), (b"ERR\n", "monitor"), (b"x" * 100, "monitor")):

            def answer(reply: bytes = reply) -> None:
                guest, _ = monitor.accept()
                assert guest.recv(100) == b"CONNECT 5005\n"
                guest.sendall(reply)
                guest.close()

            thread = threading.Thread(target=answer)
            thread.start()
            with pytest.raises(StreamError, match=reason):
                connect(address, PATIENCE)
            thread.join(PATIENCE)


def test_frames_may_follow_a_monitors_ok_at_once(tmp_path: Path) -> None:
    """Of what comes with the greeting nothing is lost."""
    path = tmp_path / "monitor"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
        monitor.bind(str(path))
        monitor.listen()

        def answer() -> None:
            guest, _ = monitor.accept()
            guest.recv(100)
            guest.sendall(b"OK 1073741824\n" + encode_frame(b"ready"))
            guest.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with connect(Address.parse(f"hvsock://{path}:5005"), PATIENCE) as stream:
            assert stream.receive(PATIENCE) == b"ready"
            assert stream.receive(PATIENCE) is None
        thread.join(PATIENCE)
