"""The enclave's server over a real socket: each piece of work ends once, and no peer can do more than lose its own."""

import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from enclave_parent import PATIENCE, TEMPLATE, Parent, RunningEnclave, public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from question_factory import IMAGE, QUESTION_ARN, Keys, invalid, record
from scripted_engine import CONTEXT, MODEL, ScriptedEngine
from waiting import wait_until

from devstack.cms import envelop
from devstack.machines.hostile_parent import document_of
from wire import messages
from wire.envelope import parse_questions
from wire.errors import StreamClosed
from wire.framing import MAX_FRAME
from wire.messages import (
    MAX_SEALED,
    VERSION,
    Answer,
    Message,
    Progress,
    Ready,
    Refusal,
    RefusalCode,
    Unwrap,
    UnwrapCode,
    Unwrapped,
    UnwrapRefused,
    Work,
)
from wire.payload import ErrorCode, Outcome
from wire.report import Report

QUESTION = "How many weeks of leave?"


@pytest.fixture(name="enclave")
def run_enclave(tmp_path: Path) -> Iterator[RunningEnclave]:
    """A server with a window of three chunks."""
    with RunningEnclave(tmp_path, window_chunks=3) as enclave:
        yield enclave


def ended(parent: Parent) -> bool:
    """Whether the enclave ends the connection, whatever it still had to say."""
    try:
        while parent.next() is not None:
            pass
    except StreamClosed:
        pass
    return True


def serves(enclave: RunningEnclave) -> bool:
    """Whether a new connection gets its answer."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    parent.work(1, keyset, [record(0, QUESTION)])
    header, payload = keyset.open(parent.take(Answer).sealed)
    parent.close()
    assert (header.job, payload.results[0].text) == (keyset.job, QUESTION[::-1]), payload
    return True


def test_the_enclave_speaks_first_and_says_who_it_is(enclave: RunningEnclave) -> None:
    """Image, model and window."""
    assert Parent(enclave).ready == Ready(VERSION, IMAGE, MODEL, 3, 32 * 1024 * 1024)


def test_sealed_questions_become_sealed_answers(enclave: RunningEnclave) -> None:
    """Every record has its result, the header binds what the reader will check, and one unwrap served both chunks."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    for ref in (7, 8):
        records = [record(0, QUESTION), record(1, "One?", max_tokens=1), invalid(2), record(3, "x" * CONTEXT)]
        sealed = parent.work(ref, keyset, records)
        answer = parent.take(Answer)
        assert answer.ref == ref
        header, payload = keyset.open(answer.sealed)
        assert header.question_digest == parse_questions(sealed).digest
        assert (header.image, header.model, header.template) == (IMAGE, MODEL, TEMPLATE.digest)
        assert [(result.outcome, result.error) for result in payload.results] == [
            (Outcome.SUCCEEDED, None),
            (Outcome.TRUNCATED, None),
            (Outcome.ERRORED, ErrorCode.INVALID_JSON_LINE),
            (Outcome.ERRORED, ErrorCode.CONTEXT_LENGTH_EXCEEDED),
        ]
    assert [(unwrap.key_arn, unwrap.wrapped) for unwrap in parent.unwraps] == [(QUESTION_ARN, keyset.wrapped)]


def test_several_bridges_are_served_at_a_time(enclave: RunningEnclave) -> None:
    """Each gets its own answers, under its own keys."""
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(serves, [enclave] * 4))


def test_a_connection_beyond_the_limit_is_closed_and_room_is_found_again(tmp_path: Path) -> None:
    """The parent cannot make the enclave keep any number of windows."""
    with RunningEnclave(tmp_path, max_connections=1) as enclave:
        first = Parent(enclave)
        with pytest.raises((AssertionError, StreamClosed)):
            Parent(enclave)
        first.close()

        def admitted() -> bool:
            try:
                return serves(enclave)
            except (AssertionError, StreamClosed):
                return False

        wait_until(admitted, PATIENCE)


def test_work_beyond_the_window_is_refused_and_the_rest_is_answered(enclave: RunningEnclave) -> None:
    """The window is the enclave's word; whoever breaks it gets that piece back at once."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    enclave.engine.gate.clear()
    for ref in range(1, 5):
        parent.work(ref, keyset, [record(0, QUESTION)])
    assert parent.take(Refusal) == Refusal(4, RefusalCode.BUSY)
    enclave.engine.gate.set()
    assert {parent.take(Answer).ref for _ in range(3)} == {1, 2, 3}
    parent.work(4, keyset, [record(0, QUESTION)])
    assert parent.take(Answer).ref == 4


@pytest.mark.parametrize(
    ("code", "means"),
    [
        (UnwrapCode.DENIED, RefusalCode.KEY_DENIED),
        (UnwrapCode.UNAVAILABLE, RefusalCode.KEY_UNAVAILABLE),
        (UnwrapCode.INVALID, RefusalCode.KEY_INVALID),
    ],
)
def test_a_key_that_kms_refuses_refuses_the_chunk_and_may_be_had_later(
    enclave: RunningEnclave, code: UnwrapCode, means: RefusalCode
) -> None:
    """A policy that was mended is asked again with the next chunk."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    parent.courier = lambda request, _: UnwrapRefused(request.request, code)
    parent.work(1, keyset, [record(0, QUESTION)])
    assert parent.take(Refusal) == Refusal(1, means)
    parent.courier = parent.kms
    parent.work(2, keyset, [record(0, QUESTION)])
    assert parent.take(Answer).ref == 2
    assert len({unwrap.document for unwrap in parent.unwraps}) == 2


def test_a_parent_gets_a_document_for_a_chunk_of_its_own(enclave: RunningEnclave) -> None:
    """So that KMS alone decides what a document is good for; the enclave serves on."""
    assert [document_of(enclave.address, QUESTION_ARN)] == enclave.attestor.documents
    assert serves(enclave)


def test_forged_replies_of_kms_open_nothing_and_all_look_alike(enclave: RunningEnclave) -> None:
    """A parent that makes up keys, or bends a true reply, learns from the refusals nothing but that it failed."""
    keyset, other = Keys(), Keys()
    parent = Parent(enclave, keyset)

    def bent(request: Unwrap, data: bytes) -> Unwrapped:
        return Unwrapped(request.request, data)

    forgeries = [
        lambda request, public: bent(request, envelop(bytes(32), public)),
        lambda request, public: bent(request, envelop(other.question_key, public)),
        lambda request, public: bent(request, envelop(bytes(16), public)),
        lambda request, public: bent(request, envelop(keyset.question_key, public)[:-1]),
        lambda request, public: bent(request, envelop(keyset.question_key, public).replace(b"\x04\x30", b"\x04\x31")),
        lambda request, _: bent(request, b"\x30\x80"),
    ]
    for ref, forgery in enumerate(forgeries):
        parent.courier = forgery
        parent.work(ref, keyset, [record(0, QUESTION)])
        assert parent.take(Refusal) == Refusal(ref, RefusalCode.UNSEAL_FAILED)
    parent.courier = parent.kms
    parent.work(99, keyset, [record(0, QUESTION)])
    assert parent.take(Answer).ref == 99


def test_a_reply_of_kms_for_one_document_does_not_serve_another(enclave: RunningEnclave) -> None:
    """Replaying yesterday's reply fails: each unwrap has a key pair of its own."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    kept: list[bytes] = []

    def listen_in(request: Unwrap, public: object) -> Unwrapped:
        reply = parent.kms(request, public)  # type: ignore[arg-type]
        assert isinstance(reply, Unwrapped)
        kept.append(reply.ciphertext)
        return Unwrapped(request.request, b"lost on the way")

    parent.courier = listen_in
    parent.work(1, keyset, [record(0, QUESTION)])
    assert parent.take(Refusal).code is RefusalCode.UNSEAL_FAILED
    parent.courier = lambda request, _: Unwrapped(request.request, kept[0])
    parent.work(2, keyset, [record(0, QUESTION)])
    assert parent.take(Refusal).code is RefusalCode.UNSEAL_FAILED


def test_replies_that_nobody_asked_for_are_ignored(enclave: RunningEnclave) -> None:
    """Late, doubled or made up: the connection goes on, and the true reply is taken."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    parent.send(Unwrapped(1, b"before it was asked"))
    parent.send(UnwrapRefused(77, UnwrapCode.DENIED))

    def twice(request: Unwrap, public: object) -> Unwrapped | UnwrapRefused | None:
        reply = parent.kms(request, public)  # type: ignore[arg-type]
        assert reply is not None
        parent.send(reply)
        return UnwrapRefused(request.request, UnwrapCode.DENIED)

    parent.courier = twice
    parent.work(1, keyset, [record(0, QUESTION)])
    assert parent.take(Answer).ref == 1


def test_a_courier_that_says_nothing_costs_its_time_and_no_more(tmp_path: Path) -> None:
    """The chunk is refused as if KMS were away."""
    with RunningEnclave(tmp_path, unwrap_timeout=0.05) as enclave:
        keyset = Keys()
        parent = Parent(enclave, keyset)
        parent.courier = lambda _, __: None
        parent.work(1, keyset, [record(0, QUESTION)])
        assert parent.take(Refusal) == Refusal(1, RefusalCode.KEY_UNAVAILABLE)
        assert serves(enclave)


def test_another_connection_goes_on_when_the_one_that_asks_kms_is_lost(enclave: RunningEnclave) -> None:
    """Two bridges hold chunks of one keyset; the first asks and dies; the second asks anew."""
    keyset = Keys()
    first, second = Parent(enclave, keyset), Parent(enclave, keyset)
    first.work(1, keyset, [record(0, QUESTION)])
    body = first.stream.receive(PATIENCE)
    assert body is not None
    assert isinstance(messages.decode(body), Unwrap)
    second.work(1, keyset, [record(0, QUESTION)])
    first.close()
    assert second.take(Answer).ref == 1
    assert len(second.unwraps) == 1


ONLY_THE_ENCLAVES: list[Message] = [
    Ready(VERSION, IMAGE, MODEL, 3, MAX_SEALED),
    Unwrap(1, QUESTION_ARN, (), b"w", b"d"),
    Progress(1),
    Answer(1, b"x"),
    Refusal(1, RefusalCode.BUSY),
]


@pytest.mark.parametrize("message", ONLY_THE_ENCLAVES, ids=lambda message: type(message).__name__)
def test_a_peer_that_plays_the_enclave_is_dropped(enclave: RunningEnclave, message: Message) -> None:
    """Such messages go one way; the server serves on."""
    parent = Parent(enclave)
    parent.send(message)
    assert ended(parent)
    assert serves(enclave)


def test_a_reference_that_is_used_twice_drops_the_connection(enclave: RunningEnclave) -> None:
    """Nobody could tell the two answers apart."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    enclave.engine.gate.clear()
    parent.work(5, keyset, [record(0, QUESTION)])
    parent.work(5, keyset, [record(0, QUESTION)])
    assert ended(parent)
    enclave.engine.gate.set()
    assert serves(enclave)


def raw(enclave: RunningEnclave) -> socket.socket:
    """A bare socket to the server, with its `Ready` still unread."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    assert enclave.address.path is not None
    sock.connect(enclave.address.path)
    return sock


def drained(sock: socket.socket) -> bool:
    """Whether the server ends the connection."""
    with sock:
        try:
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass
    return True


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        (0).to_bytes(4, "big"),
        (MAX_FRAME + 1).to_bytes(4, "big"),
        b"GET / HTTP/1.1\r\nHost: enclave\r\n\r\n",
        (3).to_bytes(4, "big") + b"\x92\x06\x01",
        (1).to_bytes(4, "big") + b"\xc1",
    ],
    ids=["huge", "empty", "one too long", "http", "field missing", "no msgpack"],
)
def test_bytes_that_are_no_message_drop_the_connection_and_nothing_else(enclave: RunningEnclave, data: bytes) -> None:
    """A frame that claims gigabytes is refused at its length."""
    sock = raw(enclave)
    sock.sendall(data)
    assert drained(sock)
    assert serves(enclave)


@given(data=st.binary(min_size=1, max_size=300))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_garbage_harms_the_server(enclave: RunningEnclave, data: bytes) -> None:
    """Whatever comes, in a frame of its own or bare, others are served after it."""
    for payload in (data, len(data).to_bytes(4, "big") + data):
        sock = raw(enclave)
        sock.sendall(payload)
        sock.shutdown(socket.SHUT_WR)
        assert drained(sock)
    assert enclave.ended() is False


def test_work_that_is_cut_off_in_the_middle_is_no_work(enclave: RunningEnclave) -> None:
    """The peer dies while it sends."""
    keyset = Keys()
    body = messages.encode(Work(1, 0, 1, keyset.seal([record(0, QUESTION)])))
    sock = raw(enclave)
    sock.sendall(len(body).to_bytes(4, "big") + body[:-7])
    sock.shutdown(socket.SHUT_WR)
    assert drained(sock)
    assert serves(enclave)
    assert len(enclave.engine.tokenized) == 1


def test_an_engine_that_fails_refuses_its_chunk_and_logs_no_content(
    enclave: RunningEnclave, caplog: pytest.LogCaptureFixture
) -> None:
    """The model stack's error quotes the prompt; what leaves the enclave is a code, what is logged a type."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    enclave.engine.poison = b"insulin"
    with caplog.at_level(logging.DEBUG):
        parent.work(1, keyset, [record(0, "insulin for Ada Lovelace")])
        assert parent.take(Refusal) == Refusal(1, RefusalCode.INTERNAL)
        parent.work(2, keyset, [record(0, QUESTION)])
        assert parent.take(Answer).ref == 2
    assert "RuntimeError" in caplog.text
    for secret in ("insulin", "Lovelace", "How many weeks", QUESTION[::-1], "case-0"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("bent", "code"),
    [
        ({"image": "ab" * 48}, RefusalCode.WRONG_IMAGE),
        ({"plaintext": b"nonsense"}, RefusalCode.MALFORMED),
        ({"count": 2}, RefusalCode.MALFORMED),
    ],
)
def test_a_chunk_that_is_not_right_is_refused_alone(
    enclave: RunningEnclave, bent: dict[str, object], code: RefusalCode
) -> None:
    """The connection and its other chunks go on."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    parent.work(1, keyset, [record(0, QUESTION)], **bent)
    assert parent.take(Refusal) == Refusal(1, code)
    parent.work(2, keyset, [record(0, QUESTION)])
    assert parent.take(Answer).ref == 2


def test_a_chunk_sealed_for_another_tenant_or_job_does_not_open(enclave: RunningEnclave) -> None:
    """KMS would refuse the context of a changed header; if it did not, the seal would."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    parent.courier = lambda request, public: Unwrapped(request.request, envelop(keyset.question_key, public))
    parent.send(Work(1, 0, 1, keyset.seal([record(0, QUESTION)]).replace(b"benefits", b"benefitz")))
    assert parent.take(Refusal) == Refusal(1, RefusalCode.UNSEAL_FAILED)
    assert dict(parent.unwraps[0].context)["sealbatch:tenant"] == "benefitz"


def test_a_bridge_that_goes_away_leaves_no_work_behind(enclave: RunningEnclave) -> None:
    """What waited for it is not generated, and the next bridge is served."""
    keyset = Keys()
    enclave.engine.gate.clear()
    parent = Parent(enclave, keyset)
    parent.work(1, keyset, [record(number, f"{number:02} of many") for number in range(12)])
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ended, parent)
        assert enclave.engine.stepping.wait(PATIENCE)
        parent.close()
    wait_until(lambda: all(thread.name != "connection-1" for thread in threading.enumerate()), PATIENCE)
    enclave.engine.gate.set()
    assert serves(enclave)
    assert sum(len(batch) for batch in enclave.engine.batches) == 4 + 1


def test_progress_is_sent_while_the_engine_steps(enclave: RunningEnclave) -> None:
    """It names the chunk and nothing else; the bridge's heartbeat hangs on it."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    enclave.engine.endless = True
    parent.work(3, keyset, [record(0, QUESTION)])

    body = parent.stream.receive(PATIENCE)
    assert body is not None
    unwrap = messages.decode(body)
    assert isinstance(unwrap, Unwrap)
    parent.send(Unwrapped(unwrap.request, envelop(keyset.question_key, public_key(unwrap))))
    body = parent.stream.receive(PATIENCE)
    assert body is not None
    assert messages.decode(body) == Progress(3)
    enclave.engine.endless = False
    assert parent.take(Answer).ref == 3


def test_a_stop_finishes_what_was_accepted_and_refuses_what_comes(enclave: RunningEnclave) -> None:
    """A bridge loses nothing by an enclave's orderly end."""
    keyset = Keys()
    parent = Parent(enclave, keyset)
    parent.work(1, keyset, [record(0, QUESTION)])
    assert parent.take(Answer).ref == 1
    enclave.engine.gate.clear()
    for ref in (2, 3, 4):
        parent.work(ref, keyset, [record(0, f"{QUESTION} Case {ref}.")])  # one that is not known from before

    # The window is full, so that every further piece of work is refused at once, from some moment on for this reason.
    def refused() -> RefusalCode:
        parent.work(5, keyset, [record(0, QUESTION)])
        return parent.take(Refusal).code

    assert refused() is RefusalCode.BUSY
    enclave.stop()
    wait_until(lambda: refused() is RefusalCode.SHUTTING_DOWN, PATIENCE)
    enclave.engine.gate.set()
    assert {parent.take(Answer).ref for _ in range(3)} == {2, 3, 4}
    assert ended(parent)
    wait_until(enclave.ended, PATIENCE)


def test_a_stop_does_not_wait_for_a_bridge_that_is_gone(tmp_path: Path) -> None:
    """Found when a dropped connection's unfinished work kept a stopping enclave for its whole grace."""
    with RunningEnclave(tmp_path, grace=10 * PATIENCE) as enclave:
        keyset = Keys()
        parent = Parent(enclave, keyset)
        enclave.engine.gate.clear()
        parent.work(1, keyset, [record(0, QUESTION)])
        with ThreadPoolExecutor(1) as pool:
            pool.submit(ended, parent)
            assert enclave.engine.stepping.wait(PATIENCE)
            enclave.stop()
            parent.close()
        enclave.engine.gate.set()
        wait_until(enclave.ended, PATIENCE)


def test_a_stop_does_not_wait_beyond_its_grace(tmp_path: Path) -> None:
    """What is not done by then is given back in words that the bridge understands."""
    with RunningEnclave(tmp_path, grace=0.0) as enclave:
        keyset = Keys()
        parent = Parent(enclave, keyset)
        enclave.engine.gate.clear()
        parent.work(1, keyset, [record(0, QUESTION)])
        with ThreadPoolExecutor(1) as pool:
            heard = pool.submit(parent.take, Refusal)
            assert enclave.engine.stepping.wait(PATIENCE)
            enclave.stop()
            assert heard.result(PATIENCE) == Refusal(1, RefusalCode.SHUTTING_DOWN)
        enclave.engine.gate.set()
        assert ended(parent)


def test_an_engine_without_room_for_its_own_context_does_not_start(tmp_path: Path) -> None:
    """A question as long as the context would wait for ever."""
    with pytest.raises(ValueError, match="below the model's context"):
        RunningEnclave(tmp_path, ScriptedEngine(positions=CONTEXT - 1))


def test_every_bridge_is_told_the_same_report_of_the_enclave(tmp_path: Path) -> None:
    """What was answered on one connection is in it, by class and for the whole enclave; nothing asked for it."""
    keyset = Keys()
    with RunningEnclave(tmp_path, report_interval=0.5) as enclave:
        parents = [Parent(enclave, keyset), Parent(enclave)]
        parents[0].work(1, keyset, [record(0, QUESTION)])
        parents[0].take(Answer)
        reports = [parent.take(Report) for parent in parents]
    for report in reports:
        assert report.ready
        assert (report.sequences, report.waiting, report.restarts) == (0, 0, 0)
        assert report.memory > 0
