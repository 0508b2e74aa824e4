"""`sealbatch serve` as programs use it: with OpenAI's own client, against a real stack."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import openai
import pytest
from command import Typist
from waiting import wait_until

from devstack.stack import Stack

QUESTION = "How many weeks of parental leave can I take?"
TOKEN = "sk-test-0123456789abcdef"


def start(typist: Typist, *words: str) -> tuple[subprocess.Popen[bytes], str]:
    """The endpoint on a free port, and its URL."""
    process = typist.start(*words, "serve", "--listen", "127.0.0.1:0")
    assert process.stdout is not None
    assert process.stderr is not None
    url = process.stdout.readline().decode().strip()
    assert url.startswith("http://127.0.0.1:"), process.stderr.read().decode()
    return process, url


def stop(process: subprocess.Popen[bytes]) -> bytes:
    """End it as a service manager does; what it said."""
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said.decode()
    return said


@pytest.fixture(scope="module")
def user(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Typist:
    """Whoever serves."""
    return Typist(tmp_path_factory.mktemp("serve"), stack.config, {"SEALBATCH_SERVE_TOKEN": TOKEN})


@pytest.fixture(scope="module")
def served(user: Typist) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The endpoint that the tests share; it says nothing but where it is."""
    process, url = start(user)
    yield process, url
    said = stop(process)
    assert QUESTION.encode() not in said
    assert TOKEN.encode() not in said


@pytest.fixture
def client(served: tuple[subprocess.Popen[bytes], str]) -> Iterator[openai.OpenAI]:
    """OpenAI's client."""
    with openai.OpenAI(base_url=served[1], api_key=TOKEN, max_retries=0) as client:
        yield client


def line(custom_id: str, text: str = QUESTION, **body: Any) -> str:
    """A line of a batch file as OpenAI documents it."""
    messages = [{"role": "user", "content": text}]
    body = {"model": "gpt-4.1", "messages": messages, **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


def upload(client: openai.OpenAI, text: str) -> str:
    """Upload a batch file."""
    return client.files.create(file=("in.jsonl", text.encode()), purpose="batch").id


def create(client: openai.OpenAI, file: str, **more: Any) -> openai.types.Batch:
    """Ask for a batch."""
    return client.batches.create(input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h", **more)


def ended(client: openai.OpenAI, name: str) -> openai.types.Batch:
    """The batch when it has ended."""
    seen = [client.batches.retrieve(name)]

    def over() -> bool:
        seen.append(client.batches.retrieve(name))
        return seen[-1].status in {"completed", "failed", "expired", "cancelled"}

    wait_until(over, 120, "the batch's end")
    return seen[-1]


def lines(client: openai.OpenAI, name: str) -> list[dict[str, Any]]:
    """The lines of a file."""
    return [json.loads(text) for text in client.files.content(name).text.splitlines()]


def test_a_batch_from_upload_to_answers(client: openai.OpenAI) -> None:
    """Upload, create, poll, read the answers and the errors, each where OpenAI has it."""
    text = line("a") + line("b", max_tokens=3) + line("long", "insulin " * 2000)
    file = client.files.create(file=("benefits.jsonl", text.encode()), purpose="batch")
    assert (file.bytes, file.filename, file.purpose) == (len(text), "benefits.jsonl", "batch")
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).text == text
    batch = create(client, file.id, metadata={"night": "october"})
    assert (batch.input_file_id, batch.completion_window, batch.metadata) == (file.id, "24h", {"night": "october"})
    assert batch.expires_at is not None
    done = ended(client, batch.id)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (3, 2, 1)
    assert done.output_file_id is not None
    assert done.error_file_id is not None
    answers = lines(client, done.output_file_id)
    assert [(one["custom_id"], one["response"]["status_code"]) for one in answers] == [("a", 200), ("b", 200)]
    assert "week" in answers[0]["response"]["body"]["choices"][0]["message"]["content"]
    assert [(one["custom_id"], one["error"]["code"]) for one in lines(client, done.error_file_id)] == [
        ("long", "context_length_exceeded")
    ]
    assert done.usage is not None
    assert done.usage.output_tokens == sum(one["response"]["body"]["usage"]["completion_tokens"] for one in answers)
    size = client.files.retrieve(done.output_file_id).bytes
    assert size == len(client.files.content(done.output_file_id).content)
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(file.id)
    with pytest.raises(openai.BadRequestError, match="purge"):
        client.files.delete(done.output_file_id)


def test_a_file_with_invalid_lines_is_a_batch_that_failed(client: openai.OpenAI) -> None:
    """With each line's fault, as OpenAI tells it; nothing was sent, and nothing of a line is quoted."""
    batch = create(client, upload(client, line("a") + '{"custom_id": "secret"\n' + line("a")))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(one.line, one.code, one.param) for one in batch.errors.data] == [
        (2, "invalid_json_line", None),
        (3, "duplicate_custom_id", "custom_id"),
    ]
    assert "secret" not in batch.to_json()
    assert client.batches.retrieve(batch.id) == batch
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)


def test_an_uploaded_file_lies_nowhere_in_the_clear(
    client: openai.OpenAI, served: tuple[subprocess.Popen[bytes], str], user: Typist
) -> None:
    """Neither in a file of the user's nor in one that has no name any more; sealed, it is there."""
    canary = "canary-7f3a9c"
    before = len(_held(served[0].pid))
    file = upload(client, line(canary, f"Is {canary} covered?" + " x" * 60_000))
    held = _held(served[0].pid)
    assert len(held) > before
    assert any(len(data) > 100_000 for data in held)
    written = [path.read_bytes() for path in user.folder.rglob("*") if path.is_file()]
    assert not [data for data in (*held, *written) if canary.encode() in data]
    assert canary in client.files.content(file).text


def _held(pid: int) -> list[bytes]:
    """What the regular files hold that a process has open."""
    paths = [path for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_file() and os.access(path, os.R_OK)]
    return [path.read_bytes() for path in paths if path.stat().st_size < 10_000_000]


def test_a_batch_is_canceled_and_outlives_its_server(stack: Stack, tmp_path: Path) -> None:
    """Nobody answers from this queue: all is canceled, told in the error file, by another process too."""
    sqs = boto3.client(
        "sqs", endpoint_url=stack.endpoint, region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    queue = sqs.create_queue(QueueName="nobody")["QueueUrl"]
    sqs.close()
    typist = Typist(tmp_path, stack.config, {"SEALBATCH_SERVE_TOKEN": TOKEN, "SEALBATCH_QUEUE_URL": queue})
    process, url = start(typist)
    with openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=0) as client:
        batch = create(client, upload(client, "".join(line(f"q-{n}") for n in range(40))))
        assert batch.status == "in_progress"
        assert client.batches.cancel(batch.id).status == "cancelling"
        assert ended(client, batch.id).status == "cancelled"
    stop(process)
    process, url = start(typist)
    with openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=0) as client:
        found = ended(client, batch.id)
        assert (found.status, found.input_file_id, found.completion_window) == ("cancelled", batch.input_file_id, "24h")
        assert found.output_file_id is None
        assert found.error_file_id is not None
        assert {one["error"]["code"] for one in lines(client, found.error_file_id)} == {"batch_cancelled"}
        assert [one.id for one in client.batches.list()] == [batch.id]
    stop(process)


def test_lists_are_read_page_by_page(client: openai.OpenAI) -> None:
    """By the client's own paging, newest first or oldest first."""
    made = [upload(client, line(f"n-{n}")) for n in range(3)]
    files = [file.id for file in client.files.list(purpose="batch", limit=2, order="asc")]
    assert [name for name in files if name in made] == made
    batches = [create(client, made[0]).id, create(client, made[1]).id]
    listed = [batch.id for batch in client.batches.list(limit=1)]
    assert set(batches) <= set(listed)
    assert len(listed) == len(set(listed))


def test_wrong_requests_are_told_as_openai_tells_them(
    client: openai.OpenAI, served: tuple[subprocess.Popen[bytes], str]
) -> None:
    """By class, code and parameter."""
    with (
        openai.OpenAI(base_url=served[1], api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.files.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve("file-none")
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")
    with pytest.raises(openai.NotFoundError) as unknown:
        create(client, "file-none")
    assert unknown.value.param == "input_file_id"
    with pytest.raises(openai.BadRequestError) as purpose:
        client.files.create(file=b"x", purpose="fine-tune")
    assert purpose.value.param == "purpose"
    file = upload(client, line("a"))
    with pytest.raises(openai.BadRequestError) as endpoint:
        client.batches.create(input_file_id=file, endpoint="/v1/embeddings", completion_window="24h")
    assert endpoint.value.param == "endpoint"
    with pytest.raises(openai.BadRequestError) as window:
        client.batches.create(
            input_file_id=file,
            endpoint="/v1/chat/completions",
            completion_window="soon",  # type: ignore[arg-type]
        )
    assert window.value.param == "completion_window"
    with pytest.raises(openai.BadRequestError) as expiry:
        create(client, file, output_expires_after={"anchor": "created_at", "seconds": 3600})
    assert expiry.value.param == "output_expires_after"
    with pytest.raises(openai.NotFoundError, match="not served here"):
        client.models.list()


class Cut:
    """How many answers are still to be lost on their way."""

    def __init__(self) -> None:
        self.left = 0


@contextmanager
def losing(url: str) -> Iterator[tuple[str, Cut]]:
    """Another URL of the endpoint: its connections break when an answer that is to be lost begins to arrive."""
    port, cut = int(url.rpartition(":")[2].partition("/")[0]), Cut()

    def pump(source: socket.socket, target: socket.socket, *, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and cut.left:
                    cut.left -= 1
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def carry(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=pump, args=(server, client), kwargs={"answers": True})
            back.start()
            pump(client, server, answers=False)
            back.join()

    def listen() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=carry, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", cut
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_an_answer_that_is_lost_makes_nothing_twice(served: tuple[subprocess.Popen[bytes], str]) -> None:
    """OpenAI's client tries again by itself: it is given the file and the batch that its first request made."""
    with losing(served[1]) as (url, cut), openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=1) as client:

        def made() -> tuple[set[str], set[str]]:
            return {file.id for file in client.files.list(purpose="batch")}, {one.id for one in client.batches.list()}

        files, batches = made()
        cut.left = 1
        file = upload(client, line("lost"))
        cut.left = 1
        batch = create(client, file, metadata={"try": "1"})
        assert cut.left == 0
        assert made() == (files | {file}, batches | {batch.id})
        assert client.batches.retrieve(batch.id).metadata == {"try": "1"}
        # Whoever asks for the same again, and does not repeat a request, means another one.
        assert len({file, upload(client, line("lost"))}) == 2
        assert create(client, file, metadata={"try": "1"}).id not in {batch.id, *batches}


def test_an_idempotency_key_stands_for_one_batch(stack: Stack, tmp_path: Path) -> None:
    """Whoever runs a program again uploads its file again: the key finds the batch, in another process too."""
    typist = Typist(tmp_path, stack.config, {"SEALBATCH_SERVE_TOKEN": TOKEN})
    night = {"Idempotency-Key": "benefits-2026-11-27"}
    made = list[openai.types.Batch]()
    for _ in range(2):
        process, url = start(typist)
        with openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=0) as client:
            for _ in range(2):
                made.append(create(client, upload(client, line("a")), extra_headers=night))
                assert client.batches.retrieve(made[-1].id).input_file_id == made[-1].input_file_id
            with pytest.raises(openai.UnprocessableEntityError) as reused:
                create(client, upload(client, line("b")), extra_headers=night)
            assert reused.value.code == "idempotency_key_reused"
            assert [batch.id for batch in client.batches.list()] == [made[0].id]
        stop(process)
    assert len({batch.id for batch in made}) == 1
    assert len({batch.input_file_id for batch in made}) == 4
