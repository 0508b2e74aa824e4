"""What a parent can say to the enclave: frames, messages and connections of every wrong kind."""

import contextlib
import time
from collections.abc import Callable

import psutil
from hostile import Accepted, Stage, Verdict
from hostile_parent import HostileParent, HungUp, Refused
from registry import attack

from wire import messages
from wire.codec import pack
from wire.errors import StreamError
from wire.messages import Answer, Progress, Ready, Refusal, Unwrap, UnwrapCode, UnwrapRefused, Work
from wire.stream import MAX_WRITE, connect

MAX_GROWTH = 64 * 1024 * 1024
"""Bytes that the enclave's memory may grow by under one attack; a window of work takes 32 MiB."""


def memory(stage: Stage) -> int:
    """Resident bytes of the enclave's own process."""
    return int(psutil.Process(stage.stack.part("enclave").pid).memory_info().rss)


def serves(stage: Stage) -> None:
    """The enclave answers a true question all the same."""
    job = stage.answered(1)
    with stage.parent() as parent:
        parent.answer(job.works()[0])


def dropped(stage: Stage, attack_it: Callable[[HostileParent], None], by: str) -> Verdict:
    """The connection is ended, memory stays bounded, and the enclave goes on serving."""
    before = memory(stage)
    with stage.parent() as parent:
        try:
            attack_it(parent)
            while True:
                parent.receive()
        except HungUp:
            pass
    growth = memory(stage) - before
    if growth > MAX_GROWTH:
        raise Accepted(f"the enclave grew by {growth} bytes")
    serves(stage)
    return Verdict("dropped; others were served on", by)


def raw(parent: HostileParent, data: bytes) -> None:
    """Bytes on the stream, without a frame around them."""
    with contextlib.suppress(OSError, StreamError):
        sock = parent.stream._socket
        sock.setblocking(True)
        sock.settimeout(20)
        sock.sendall(data)
        sock.setblocking(False)


@attack("announce a frame of four gigabytes")
def huge_frame(stage: Stage) -> Verdict:
    """The length alone."""
    return dropped(stage, lambda parent: raw(parent, b"\xff\xff\xff\xff" + b"x" * 100), "frame limit of 16 MiB")


@attack("send a frame of no bytes")
def empty_frame(stage: Stage) -> Verdict:
    """A length of zero."""
    return dropped(stage, lambda parent: raw(parent, bytes(4)), "frames have at least a byte")


@attack("send an endless frame and hang up in it")
def endless_frame(stage: Stage) -> Verdict:
    """Fifteen megabytes of the largest frame, and then nothing."""

    def send(parent: HostileParent) -> None:
        raw(parent, (16 * 1024 * 1024).to_bytes(4, "big"))
        for _ in range(15 * 1024 * 1024 // MAX_WRITE):
            raw(parent, bytes(MAX_WRITE))
        parent.close()

    return dropped(stage, send, "a frame is whole or nothing")


@attack("nest a message ten thousand levels deep")
def nested(stage: Stage) -> Verdict:
    """Arrays in arrays."""
    return dropped(stage, lambda parent: parent.send_bytes(b"\x91" * 10_000 + b"\xc0"), "at most 8 levels")


@attack("send a bomb: an array that claims four billion values")
def bomb(stage: Stage) -> Verdict:
    """Five bytes that would expand to gigabytes."""
    return dropped(
        stage, lambda parent: parent.send_bytes(b"\xdd\xff\xff\xff\xff"), "lengths are bounded by the bytes at hand"
    )


@attack("send a bomb: ten megabytes of empty arrays")
def many_arrays(stage: Stage) -> Verdict:
    """Each byte a value of its own."""
    count = 10_000_000
    body = b"\xdd" + count.to_bytes(4, "big") + b"\x90" * count
    return dropped(stage, lambda parent: parent.send_bytes(body), "strict messages")


@attack("send what only an enclave sends")
def wrong_direction(stage: Stage) -> Verdict:
    """Its own Ready, an Answer, a Progress."""

    def send(parent: HostileParent) -> None:
        parent.send(Ready(1, stage.image, bytes(32), 8, 32 * 1024 * 1024))

    dropped(stage, send, "")
    dropped(stage, lambda parent: parent.send(Answer(1, b"x")), "")
    return dropped(stage, lambda parent: parent.send(Progress(1)), "directions of messages")


@attack("send a message of an unknown type")
def unknown_type(stage: Stage) -> Verdict:
    """Type 9, and a debugging verb that does not exist."""
    dropped(stage, lambda parent: parent.send_bytes(pack([9, 1])), "")
    return dropped(stage, lambda parent: parent.send_bytes(pack(["debug", True])), "known types only")


@attack("spell a message otherwise")
def second_spelling(stage: Stage) -> Verdict:
    """A number in more bytes than it needs."""
    work = messages.encode(Work(1, 0, 1, b"x"))
    return dropped(
        stage, lambda parent: parent.send_bytes(work.replace(b"\x06\x01", b"\x06\xcc\x01", 1)), "one encoding"
    )


@attack("use a reference twice")
def twice(stage: Stage) -> Verdict:
    """Two pieces of work under one number."""
    job = stage.submit(2, 1)

    def send(parent: HostileParent) -> None:
        for work in job.works():
            parent.send(Work(7, work.first, work.count, work.sealed))
        parent.result(8)

    return dropped(stage, send, "a reference is used once")


@attack("send more work than the window has room for")
def overflow(stage: Stage) -> Verdict:
    """Twenty chunks at once, of which eight are announced."""
    job = stage.submit(1)
    (work,) = job.works()
    with stage.parent() as parent:
        room = parent.ready.window_chunks
        for ref in range(1, 21):
            parent.send(Work(ref, work.first, work.count, work.sealed))
        ends: list[str] = []
        while len(ends) < 20:
            match message := parent.receive():
                case Refusal():
                    ends.append(str(message.code))
                case Answer():
                    ends.append("answered")
                case Unwrap():
                    parent.send(parent.ask_kms(message))
    if "busy" not in ends or ends.count("answered") < room or set(ends) != {"busy", "answered"}:
        raise Accepted(f"ended as {sorted(set(ends))}")
    serves(stage)
    return Verdict(f"{ends.count('busy')} of 20 were refused as busy", f"window of {room} chunks")


@attack("open a connection and say nothing")
def silent(stage: Stage) -> Verdict:
    """It holds one place, and nobody else's."""
    with stage.parent():
        serves(stage)
    return Verdict("others were served meanwhile", "a thread a connection")


@attack("open a thousand connections and say nothing")
def thousand(stage: Stage) -> Verdict:
    """Beyond the limit they are closed; when they go, the enclave serves again."""
    before = memory(stage)
    streams = []
    for _ in range(1000):
        with contextlib.suppress(StreamError):
            streams.append(connect(stage.address, 5))
    growth = memory(stage) - before
    for stream in streams:
        stream.close()
    if growth > MAX_GROWTH:
        raise Accepted(f"the enclave grew by {growth} bytes")
    deadline = time.monotonic() + 60
    while True:
        try:
            serves(stage)
            break
        except (HungUp, StreamError):
            if time.monotonic() > deadline:
                raise Accepted("the enclave serves nobody any more") from None
            time.sleep(0.1)
    return Verdict("refused beyond the limit, and served again afterwards", "4 connections at a time")


@attack("hang up in the middle of an answer")
def hang_up(stage: Stage) -> Verdict:
    """The chunk ends unheard; the next parent gets it answered."""
    job = stage.submit(2)
    (work,) = job.works()
    with stage.parent() as parent:
        parent.send(Work(1, work.first, work.count, work.sealed))
    with stage.parent() as parent:
        stage.store(work, parent.answer(work))
    job.honest = stage.fetch(job).answers
    return stage.no_effect(job, "work ends with its connection")


@attack("refuse every unwrap")
def refuse_unwraps(stage: Stage) -> Verdict:
    """Availability is not defended: the job does not move, and says so."""
    job = stage.submit(1)
    with stage.parent() as parent:
        parent.on_reply = lambda reply: UnwrapRefused(reply.request, UnwrapCode.DENIED)
        with contextlib.suppress(Refused):
            parent.answer(job.works()[0])
    return stage.unfinished(job)
