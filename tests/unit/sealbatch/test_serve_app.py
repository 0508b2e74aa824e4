"""The endpoint without a stack: who gets in, what is too large, what is no form, and what lies where."""

import asyncio
import hashlib
import io
import json
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from uvicorn.server import ServerState

from aws_errors.service_error import ServiceError, ServiceKind
from producer.errors import SendIncomplete
from results_consumer.errors import Check, IntegrityError
from results_consumer.tally import FetchSummary
from sealbatch.client import Client
from sealbatch.config import Config, Resources
from sealbatch.errors import OptionError
from sealbatch.job import Job
from sealbatch.pieces import as_file
from sealbatch.serve import app as served
from sealbatch.serve import server, vault
from sealbatch.serve.api_error import api_error
from sealbatch.serve.app import make_app
from sealbatch.serve.batches import Batches
from sealbatch.serve.guard import Guard
from sealbatch.serve.outcomes import Outcomes
from sealbatch.serve.server import Endpoint, is_loopback, serve
from sealbatch.serve.vault import SEGMENT, SealedBlob
from wire.ticket import Ticket

TOKEN = "sk-0123456789abcdef"
URL = "http://127.0.0.1:8321"
LET_IN = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of an endpoint that has no AWS."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app, api = make_app(
        Client(Config(Resources(), "here")), token=TOKEN, hosts=Endpoint("127.0.0.1", 8321, TOKEN).hosts()
    )
    client = TestClient(
        app, base_url=URL, headers=LET_IN
    )  # entering it would ask for a lifespan, which we have none of
    yield client
    api.close()
    client.close()


def post(http: TestClient, data: bytes = b"{}\n", purpose: str = "batch") -> Any:
    """Upload a file."""
    return http.post("/v1/files", files={"file": ("in.jsonl", data)}, data={"purpose": purpose})


@pytest.mark.parametrize("host", ["127.0.0.1:8321", "localhost", "LOCALHOST:1", "[::1]:8321", "127.0.0.1"])
def test_our_own_names_are_let_in(http: TestClient, host: str) -> None:
    """With and without a port."""
    assert http.get("/v1/files", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "localhost.evil:8321", "", "0.0.0.0:8321", "]:1"],
)
def test_another_name_is_refused_whatever_the_token(http: TestClient, host: str) -> None:
    """A page whose name was pointed at this machine sends its own."""
    answer = http.get("/v1/files", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "bad_host"


def test_no_web_page_may_ask_and_none_may_read(http: TestClient) -> None:
    """Neither by a preflight nor with the token; no answer has a CORS header."""
    for method in ("GET", "OPTIONS", "POST"):
        answer = http.request(method, "/v1/files", headers={"origin": "https://evil.example"})
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
    answer = http.get("/v1/files")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \xff"],
)
def test_nobody_gets_in_without_the_token(http: TestClient, value: str) -> None:
    """In OpenAI's form, before anything of the request is read."""
    answer = http.post("/v1/files", headers={"authorization": value.encode("latin-1")}, content=b"x" * 10)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By digests of one length, and by the function that is made for it."""
    compared = list[tuple[bytes, bytes]]()

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr("sealbatch.serve.guard.hmac.compare_digest", compare)
    guard = Guard(served.Starlette(), token=TOKEN, hosts=["testserver"])
    assert TestClient(guard).get("/", headers={"authorization": "Bearer short"}).status_code == 401
    assert compared == [(hashlib.sha256(b"short").digest(), hashlib.sha256(TOKEN.encode()).digest())]


def test_a_file_beyond_the_limit_is_refused_while_it_arrives(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of it is kept; so is one too many."""
    monkeypatch.setattr(vault, "MAX_FILE", 100_000)
    assert post(http, b"x" * 100_000).status_code == 200
    answer = post(http, b"x" * 100_001)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")
    monkeypatch.setattr(vault, "MAX_TOTAL", 150_000)
    assert post(http, b"x" * 60_000).json()["error"]["code"] == "too_many_files"
    assert len(http.get("/v1/files").json()["data"]) == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=" + "x" * 300, b""),
        ("multipart/form-data; boundary=x", b"no form at all"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ncut'),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--',
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + b"y" * 5000 + b"\r\n--x--",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n1\r\n' * 2 + b"--x--",
        ),
    ],
)
def test_what_is_no_form_is_a_bad_request(http: TestClient, kind: str, body: bytes) -> None:
    """Never an error of the server's, and nothing is kept."""
    answer = http.post("/v1/files", headers={"content-type": kind}, content=body)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert http.get("/v1/files").json()["data"] == []


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_bad_form_or_a_good_one(body: bytes) -> None:
    """The parser of forms ends in one of two ways."""
    app, api = make_app(Client(Config(Resources(), "here")), token=TOKEN, hosts=["testserver"])
    head = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x\r\n'
    kind = {"content-type": "multipart/form-data; boundary=x"} | LET_IN
    assert TestClient(app).post("/v1/files", headers=kind, content=head + body).status_code in {200, 400}
    api.close()


def test_bodies_lists_and_paths_are_checked(http: TestClient) -> None:
    """Each in OpenAI's form."""
    for body in (b"", b"[]", b"nonsense", b"[" * 60_000):
        assert http.post("/v1/batches", content=body).json()["error"]["code"] == "invalid_json"
    assert http.post("/v1/batches", content=b" " * (served.MAX_BODY + 1)).status_code == 413
    for limit in ("0", "-1", "x", "101", "9" * 30):
        assert http.get("/v1/batches", params={"limit": limit}).json()["error"]["param"] == "limit"
    assert http.get("/v1/files", params={"after": "none"}).status_code == 404
    for method, path in (("GET", "/"), ("GET", "/v1/models"), ("DELETE", "/v1/batches"), ("GET", "/v1/files/x/y")):
        answer = http.request(method, path)
        assert answer.status_code in {404, 405}
        assert answer.json()["error"]["code"] == "unknown_url"
    assert post(http, purpose="assistants").json()["error"]["param"] == "purpose"
    file = post(http).json()["id"]
    fields = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    bad = {"metadata": {"a": "x" * 513}, "secret_option": 1, "completion_window": 24, "input_file_id": 7}
    for name, value in bad.items():
        assert http.post("/v1/batches", json=fields | {name: value}).json()["error"]["param"] == name


def test_an_unforeseen_error_is_told_by_class_and_place(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text may hold content: neither the client nor a log sees it."""

    def fail(*_: object) -> None:
        raise RuntimeError("insulin for case 17")

    monkeypatch.setattr(vault.Vault, "get", fail)
    answer = http.get("/v1/files/file-x")
    assert answer.status_code == 500
    assert "RuntimeError" in answer.json()["error"]["message"]
    assert "insulin" not in answer.text


def test_a_configuration_that_lacks_something_says_what(http: TestClient) -> None:
    """The settings are named when they are needed."""
    file = post(http, b'{"custom_id":"a","question":"b"}\n').json()["id"]
    fields = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    answer = http.post("/v1/batches", json=fields)
    assert answer.status_code == 500
    assert "tenant" in answer.json()["error"]["message"]


@given(st.lists(st.integers(0, 3 * SEGMENT), max_size=4))
@settings(max_examples=20)
def test_a_sealed_file_gives_back_what_it_was_given(sizes: list[int]) -> None:
    """Whatever the pieces; what lies on disk has none of it."""
    pieces = [secrets.token_bytes(size) for size in sizes]
    blob = SealedBlob()
    for piece in pieces:
        blob.write(piece)
    blob.end()
    assert b"".join(blob.pieces()) == b"".join(pieces)
    assert blob.size == sum(sizes)
    blob.close()


def test_a_sealed_file_that_somebody_changed_cannot_be_read() -> None:
    """Neither a flipped bit, nor exchanged segments, nor a cut end."""
    import os

    blob = SealedBlob()
    blob.write(b"a" * SEGMENT + b"b" * SEGMENT)
    blob.end()
    whole = os.pread(blob._descriptor, 10**6, 0)
    half = len(whole) // 2
    for bent in (whole[:-1], whole[half:] + whole[:half], bytes([whole[0] ^ 1]) + whole[1:]):
        os.ftruncate(blob._descriptor, 0)
        os.pwrite(blob._descriptor, bent, 0)
        with pytest.raises(OSError, match="cannot be read again"):
            list(blob.pieces())
    blob.close()


def test_a_file_that_is_deleted_is_read_to_its_end_by_who_reads_it() -> None:
    """And its descriptor is closed after that."""
    import gc
    import os

    kept = vault.Vault()
    blob = SealedBlob()
    blob.write(b"x" * 3 * SEGMENT)
    blob.end()
    descriptor = blob._descriptor
    upload = kept.add("in.jsonl", blob)
    stream = as_file(upload.blob.pieces())
    stream.read(10)
    kept.remove(upload.id)
    del upload, blob
    assert len(stream.read()) == 3 * SEGMENT - 10
    del stream
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_loopback_is_told_from_everything_else() -> None:
    """By address, and by the one name that is certain."""
    assert all(map(is_loopback, ("127.0.0.1", "127.3.2.1", "::1", "localhost")))
    assert not any(map(is_loopback, ("192.0.2.1", "::", "10.0.0.1", "localhost.evil.example", "")))


def test_what_cannot_be_served_is_told_before_anybody_connects(tmp_path: Path) -> None:
    """A certificate that is missing or none, and an address that is taken."""
    client, ready = Client(Config(Resources(), "here")), list[str]()
    (tmp_path / "bad.pem").write_text("no certificate")
    for name, why in (("none.pem", "No such file"), ("bad.pem", "no PEM")):
        endpoint = Endpoint("127.0.0.1", 0, TOKEN, (), tmp_path / name, tmp_path / "bad.pem")
        with pytest.raises(OptionError, match=why):
            serve(client, endpoint, ready.append)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(client, Endpoint("127.0.0.1", taken.getsockname()[1], TOKEN), ready.append)
    assert ready == []


def test_a_csv_is_no_batch_file() -> None:
    """What is uploaded is read as JSON lines, whatever it looks like."""
    from sealbatch.questions import Questions

    assert [record.problem for record in Questions(io.BytesIO(b"question\nx\n"), format="jsonl").records()]


@pytest.mark.parametrize("field", ["metadata", "input_file_id", "\ud800"])
def test_half_a_character_is_refused_before_anything_is_sent(http: TestClient, field: str) -> None:
    """It can be kept and not be said again: the batch was sent, and each list that had it failed from then on."""
    fields = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    body = json.dumps({**fields, field: {"a": "\ud800"}})
    answer = http.post("/v1/batches", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_a_client_does_not_submit_again_what_was_sent_in_part() -> None:
    """OpenAI's tries 5xx, 408, 409 and 429 again by itself; the job exists, and its ticket is told."""
    cause = ServiceError(ServiceKind.UNAVAILABLE, "SQS", "SendMessageBatch", "queue")
    ticket = Ticket("a" * 16, bytes(16))
    error = api_error(SendIncomplete(ticket, 1, 2, cause))
    assert (error.status, error.code) == (422, "send_incomplete")
    assert f"sealbatch sweep {ticket}" in str(error)


def test_a_batch_that_was_sent_is_told_though_its_state_cannot_be_asked_for(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 did not answer after the last message had gone out: the client came again, and all was asked twice."""
    sent: list[str] = []

    def status() -> None:
        raise ServiceError(ServiceKind.UNAVAILABLE, "S3", "ListObjectsV2", "bucket")

    def submit(*_: object, **__: object) -> Any:
        sent.append("sb1-ticket")
        return SimpleNamespace(ticket=sent[-1], status=status)

    monkeypatch.setattr(Client, "submit", submit)
    fields = {"input_file_id": post(http).json()["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    for attempt in "01":
        answer = http.post("/v1/batches", json=fields, headers={"x-stainless-retry-count": attempt})
        assert (answer.status_code, answer.json()["id"]) == (200, "batch_sb1-ticket")
        assert (answer.json()["status"], answer.json()["input_file_id"]) == ("in_progress", fields["input_file_id"])
    assert len(sent) == 1


def test_a_repeated_request_is_given_nothing_of_another_one(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever two clients with the token try again: each file's questions are asked."""
    monkeypatch.setattr(Batches, "create", lambda *_: {"id": f"batch_{secrets.token_hex(4)}"})
    monkeypatch.setattr(Batches, "get", lambda _, name: {"id": name})
    again = {"x-stainless-retry-count": "1"}
    fields = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}

    def batch(file: str, **more: object) -> str:
        return str(http.post("/v1/batches", json=fields | {"input_file_id": file} | more, headers=again).json()["id"])

    first, second = post(http, b"1\n").json()["id"], post(http, b"2\n").json()["id"]
    made = batch(first)
    assert batch(first) == made
    assert len({made, batch(second), batch(first, metadata={"try": "2"}), batch(first, completion_window="1h")}) == 4
    http.get(f"/v1/batches/{made}")  # whoever asks for it knows it
    assert batch(first) != made


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, int]]:
    """The endpoint's connections on a free port, before an application that has nothing."""
    app = Guard(served.Starlette(), token=TOKEN, hosts=["localhost"])
    config = uvicorn.Config(app, http=server.Impatient, ws="none", lifespan="off", log_config=None)
    config.load()
    made = partial(server.Impatient, config, ServerState(), {})
    loop = asyncio.get_running_loop()
    async with await loop.create_server(made, "127.0.0.1", 0, backlog=server.AT_ONCE) as listener:
        yield listener.sockets[0].getsockname()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET /v1/files HTTP/1.1\r\nHo", b""),
        (b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 401 "),
    ],
)
def test_who_has_no_token_keeps_no_place(monkeypatch: pytest.MonkeyPatch, sent: bytes, answer: bytes) -> None:
    """64 connections that asked nothing, or were refused, kept everybody out for as long as they liked."""
    monkeypatch.setattr(server, "PATIENCE", 0.1)

    async def told() -> bytes:
        async with listening() as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(sent)
            try:
                return await asyncio.wait_for(reader.read(), 20)  # until the server ends it
            finally:
                writer.close()

    assert asyncio.run(told())[: len(answer) or None] == answer


def test_who_has_the_token_gets_in_however_many_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connected again and again held all 64 places; now the oldest of 256 gives its own up to whoever comes."""
    monkeypatch.setattr(server, "PATIENCE", 600)  # or the oldest would end by itself
    request = f"GET /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()

    async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(request)
        head, _ = await reader.readuntil(b"\r\n\r\n"), await reader.readexactly(len("Not Found"))
        return head.split(b"\r\n")[0]

    async def told() -> tuple[set[bytes], bool]:
        answers, others = set[bytes](), list[asyncio.StreamWriter]()
        async with asyncio.timeout(60), listening() as address:
            oldest, quiet = await asyncio.open_connection(*address)
            holder = await asyncio.open_connection(*address)
            for number in range(server.STRANGERS + 41):
                others.append((await asyncio.open_connection(*address))[1])
                if number % 40 == 0:  # the same connection stays, and a new one is let in
                    new = await asyncio.open_connection(*address)
                    answers |= {await asked(*holder), await asked(*new)}
                    others.append(new[1])
            with suppress(ConnectionResetError):
                assert await oldest.read() == b""
            answers.add(await asked(*holder))
            for writer in (*others, holder[1], quiet):
                writer.close()
            return answers, oldest.at_eof() or oldest.exception() is not None

    answers, oldest_was_ended = asyncio.run(told())
    assert answers == {b"HTTP/1.1 404 Not Found"}
    assert oldest_was_ended


def test_requests_beyond_the_most_are_told_to_come_again(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a status at which clients do; and only those that have the token."""
    monkeypatch.setattr("sealbatch.serve.guard.MAX_REQUESTS", 0)
    answer = http.get("/v1/files")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    assert http.get("/v1/files", headers={"authorization": "Bearer x"}).status_code == 401


def test_a_job_that_did_not_verify_is_verified_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was wrong in the bucket may have been mended; it stayed wrong until the server was started again."""
    failing = [True]

    def fetch_into(_: object) -> FetchSummary:
        if failing:
            failing.clear()
            raise IntegrityError(Check.MANIFEST_PRESENT, "key")
        return cast("FetchSummary", object())

    job = cast("Job", SimpleNamespace(ticket="ticket", retries=list, fetch_into=fetch_into))
    outcomes = Outcomes()
    for _ in range(2):  # the second look is told what is remembered
        with pytest.raises(IntegrityError):
            outcomes.look(job, 60)
    monkeypatch.setattr("sealbatch.serve.outcomes.FAILED", 0)
    found = outcomes.look(job, 60)
    assert found is not None
    assert outcomes.known() == [("ticket", found)]
    outcomes.close()
