"""What a user is told when AWS, or somebody in its place, does not play along."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from command import Typist
from stack_view import kms_calls, outcome_lines

from devstack.stack import Stack, StackOptions

QUESTION = json.dumps({"custom_id": "a", "question": "How many weeks of parental leave can I take?"}).encode()


@pytest.fixture
def ticket(typist: Typist) -> str:
    """A finished job of 8 records in 4 chunks."""
    lines = [json.dumps({"custom_id": f"q-{n}", "question": "How many sick days?"}) for n in range(8)]
    done = typist.type("submit", "-", "--chunk-size", "2", stdin="\n".join(lines).encode())
    ticket = done.stdout.decode().strip()
    assert typist.type("wait", ticket, "--timeout", "60").returncode == 0
    return ticket


def answers(bucket: Any, typist: Typist, ticket: str) -> list[Any]:
    """The job's answer objects in the bucket."""
    job = json.loads(typist.type("status", ticket).stdout)["id"]
    return sorted(bucket.objects.filter(Prefix=f"benefits/{job}/answers/"), key=lambda item: item.key)


def refused(typist: Typist, ticket: str, code: int) -> str:
    """Fetch fails with `code` and writes nothing, to a file or a pipe; its words."""
    piped = typist.type("fetch", ticket, "-o", "-")
    done = typist.type("fetch", ticket, "-o", "out.jsonl")
    assert (piped.returncode, piped.stdout) == (code, b""), piped.stderr.decode()
    assert done.returncode == code, done.stderr.decode()
    assert [path.name for path in typist.folder.iterdir() if "out" in path.name] == []
    return done.stderr.decode()


def test_a_changed_answer_is_refused(typist: Typist, bucket: Any, ticket: str) -> None:
    """One bit of one answer: exit code 9, the check and the object are named, nothing is written."""
    item = answers(bucket, typist, ticket)[2]
    data = bytearray(item.get()["Body"].read())
    data[-100] ^= 1
    item.put(Body=bytes(data))
    words = refused(typist, ticket, 9)
    assert "(seal)" in words
    assert item.key in words


def test_swapped_answers_are_refused(typist: Typist, bucket: Any, ticket: str) -> None:
    """Two true answers of one job at each other's keys."""
    one, two = answers(bucket, typist, ticket)[:2]
    first, second = one.get()["Body"].read(), two.get()["Body"].read()
    one.put(Body=second)
    two.put(Body=first)
    assert "(chunk)" in refused(typist, ticket, 9)


def test_an_answer_of_another_job_is_refused(typist: Typist, bucket: Any, ticket: str) -> None:
    """A true answer to another job's questions."""
    other = typist.type("submit", "-", stdin=QUESTION).stdout.decode().strip()
    assert typist.type("wait", other, "--timeout", "60").returncode == 0
    foreign = answers(bucket, typist, other)[0].get()["Body"].read()
    answers(bucket, typist, ticket)[0].put(Body=foreign)
    assert "(job)" in refused(typist, ticket, 9)


def test_a_missing_answer_is_not_an_empty_success(typist: Typist, bucket: Any, ticket: str) -> None:
    """The records without an answer are named; exit code 75, since the answer may still come."""
    answers(bucket, typist, ticket)[1].delete()
    assert "2 of 8 records have no answer yet (records 2 to 3)" in refused(typist, ticket, 75)


def test_a_missing_manifest_is_an_integrity_failure(typist: Typist, bucket: Any, ticket: str) -> None:
    """The ticket proves that there was one."""
    job = json.loads(typist.type("status", ticket).stdout)["id"]
    bucket.Object(f"benefits/{job}/manifest").delete()
    assert "manifest_present" in refused(typist, ticket, 9)


def test_a_replaced_manifest_is_an_integrity_failure(typist: Typist, bucket: Any, ticket: str) -> None:
    """Another job's manifest at this job's key is not what the ticket names."""
    other = typist.type("submit", "-", stdin=QUESTION).stdout.decode().strip()
    jobs = [json.loads(typist.type("status", name).stdout)["id"] for name in (ticket, other)]
    bucket.Object(f"benefits/{jobs[0]}/manifest").put(
        Body=bucket.Object(f"benefits/{jobs[1]}/manifest").get()["Body"].read()
    )
    assert "manifest_digest" in refused(typist, ticket, 9)


def test_the_wrong_answers_key_is_refused(typist: Typist, ticket: str) -> None:
    """A reader who is configured with another key than the job's is told, before KMS is asked."""
    key = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    done = typist.type("fetch", ticket, "-o", "out.jsonl", settings={"answer_key": key})
    assert done.returncode == 9
    assert b"configuration" in done.stderr


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"bucket": "no-such-bucket-here"}, 78, "no-such-bucket-here"),
        ({"queue_url": "http://127.0.0.1:1/123456789012/gone"}, 78, "SQS"),
        ({"tenant": "other"}, 77, "KMS GenerateDataKey"),
        ({"endpoint_url": "http://127.0.0.1:9"}, 75, "try again later"),
        ({"credentials_file": "/nowhere"}, 78, "profile"),
    ],
)
def test_a_service_that_refuses_is_named(typist: Typist, settings: dict[str, str], code: int, words: str) -> None:
    """Which service, which resource, what to do; a key of another tenant is denied by KMS itself."""
    if "queue_url" in settings:
        settings = {"queue_url": f"{_endpoint(typist)}/123456789012/gone"}
    done = typist.type("submit", "-", stdin=QUESTION, settings=settings)
    assert done.returncode == code, done.stderr.decode()
    assert words in done.stderr.decode()
    assert b"parental" not in done.stderr


def _endpoint(typist: Typist) -> str:
    assert typist.config is not None
    import tomllib

    return str(tomllib.loads(typist.config.read_text())["endpoint_url"])


def test_a_queue_that_is_gone_loses_no_job(typist: Typist) -> None:
    """The chunks lie in the bucket by then: the ticket is printed, and the job can be sent again."""
    gone = {"queue_url": f"{_endpoint(typist)}/123456789012/gone"}
    done = typist.type("submit", "-", stdin=QUESTION, settings=gone)
    ticket = done.stderr.decode().rpartition("the ticket is ")[2].split()[0]
    assert json.loads(typist.type("status", ticket).stdout)["status"] == "queued"


class _Expired(BaseHTTPRequestHandler):
    """Answers every request as AWS answers expired credentials."""

    def do_POST(self) -> None:
        """JSON services and S3 alike."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b'{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}'
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def expired() -> Iterator[str]:
    """A server where all credentials are expired."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Expired)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_expired_credentials_are_told_as_such(typist: Typist, expired: str) -> None:
    """Exit code 77, and to renew them; nothing was submitted."""
    done = typist.type("submit", "-", stdin=QUESTION, settings={"endpoint_url": expired})
    assert done.returncode == 77, done.stderr.decode()
    assert b"expired" in done.stderr
    assert b"nothing was submitted" in done.stderr


def test_a_job_of_20_chunks_costs_four_calls_of_kms(typist: Typist, stack: Stack) -> None:
    """Two by the producer, one by the enclave, one by the reader; the number of records plays no part."""
    lines = (json.dumps({"custom_id": f"q-{n}", "question": f"Case {n}?", "max_tokens": 1}) for n in range(400))
    (typist.folder / "in.jsonl").write_text("\n".join(lines))
    before = kms_calls(stack)
    done = typist.type("run", "in.jsonl", "-o", "out.jsonl", "--chunk-size", "20")
    assert done.returncode == 3, done.stderr.decode()
    assert len(outcome_lines((typist.folder / "out.jsonl").read_bytes())) == 400
    after = kms_calls(stack)
    made = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert made == {"GenerateDataKey": 2, "Decrypt": 2}


def test_kms_refuses_the_wrong_image_and_the_operator_is_told(tmp_path: Path) -> None:
    """The key policy admits another measurement: KMS denies, the bridge stops receiving, and run says why."""
    from devstack.measure import measure
    from devstack.stack import MODEL

    image = measure(MODEL)[0].hex()
    with Stack(tmp_path / "stack", StackOptions(image="ab" * 48)) as stack:
        typist = Typist(tmp_path, stack.config)
        done = typist.type("run", "-", "-o", "out.jsonl", stdin=QUESTION, settings={"image": image})
        words = done.stderr.decode()
        assert done.returncode == 77, words
        assert "KMS refused the enclave" in words
        assert image in words
        assert "key policy" in words
        assert not (tmp_path / "out.jsonl").exists()
        ticket = words.rpartition("the ticket ")[2].split()[0]
        assert json.loads(typist.type("status", ticket).stdout)["status"] == "stalled"
        log = (stack.folder / "log" / "bridge.log").read_text()
        assert f"KMS refused the enclave image={image}" in log
        assert "receiving stopped" in log
