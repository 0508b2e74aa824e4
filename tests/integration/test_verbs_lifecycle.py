"""Cancel, purge, deadlines, idempotency keys and the dead-letter queue, typed against a real stand-in over HTTP."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import Result
from job_factory import Aws, MadeJob, make_aws, make_job, parse_lines
from receipt_factory import make_receipt, write_roots
from typer.testing import CliRunner

import producer.submit
from aws_errors.service_error import ServiceError, ServiceKind
from sealbatch.cli import app
from sealbatch.exits import Exit
from sealbatch.sweeper import Swept
from sealbatch.terminal.screen import Screen
from sealbatch.verbs.sweep import keep_sweeping
from wire import ledger, manifest
from wire.envelope import attach_receipt, parse_questions, seal
from wire.header import AnswerHeader
from wire.ledger import ChunkMessage, Mark, parse_chunk_message
from wire.payload import AnswerPayload, ErrorCode, Outcome, QuestionPayload
from wire.payload import Result as Result_
from wire.ticket import Ticket


@dataclass
class Desk:
    """A user with a configuration, and the service's inside."""

    aws: Aws
    sqs: Any
    queue: str
    dead: str
    folder: Path

    def type(self, *words: str) -> Result:
        """Type `sealbatch` and these words."""
        return CliRunner().invoke(app, ["--config", str(self.folder / "sealbatch.toml"), *words])

    def ask(self, *words: str, count: int = 5) -> Result:
        """Submit a file of questions."""
        lines = (json.dumps({"custom_id": f"case-{n}", "question": f"Question {n}?"}) for n in range(count))
        (self.folder / "questions.jsonl").write_text("\n".join(lines) + "\n")
        return self.type("submit", str(self.folder / "questions.jsonl"), "--chunk-size", "2", *words)

    def fetched(self, job: MadeJob) -> tuple[int, list[dict[str, Any]]]:
        """Exit code and lines of a fetch."""
        done = self.type("fetch", str(job.ticket), "-o", str(self.folder / "out.jsonl"), "--force")
        return done.exit_code, parse_lines((self.folder / "out.jsonl").read_bytes())

    def messages(self) -> list[ChunkMessage]:
        """What lies in the queue; it stays there and can be seen."""
        seen: list[dict[str, Any]] = []
        while reply := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, VisibilityTimeout=600).get(
            "Messages"
        ):
            seen += reply
        for message in seen:
            self.sqs.change_message_visibility(
                QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return sorted((parse_chunk_message(message["Body"]) for message in seen), key=lambda message: message.chunk)

    def empty(self) -> None:
        """Remove what lies in the queue; SQS purges once a minute only."""
        while reply := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for message in reply:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])

    def body(self, key: str) -> bytes:
        """An object."""
        data: bytes = self.aws.s3.get_object(Bucket=self.aws.settings.bucket, Key=key)["Body"].read()
        return data

    def names(self, job: str) -> list[str]:
        """Names of a job's objects, all versions."""
        prefix = ledger.job_prefix(self.aws.settings.tenant, job)
        page = self.aws.s3.list_object_versions(Bucket=self.aws.settings.bucket, Prefix=prefix)
        return [
            item["Key"].removeprefix(prefix) for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]


@pytest.fixture
def desk(moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A fresh user."""
    aws = make_aws(moto)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr("vsock_bridge.dead_letters.WAIT", 0)  # moto asks its one server, and keeps callers waiting
    aws.s3.put_bucket_versioning(Bucket=aws.settings.bucket, VersioningConfiguration={"Status": "Enabled"})
    session = boto3.session.Session("test", "test", region_name="eu-central-1")
    sqs = session.client("sqs", endpoint_url=moto)
    name = aws.settings.bucket
    queue, dead = (sqs.create_queue(QueueName=f"{name}-{part}")["QueueUrl"] for part in ("chunks", "dead"))
    settings = {
        "tenant": aws.settings.tenant,
        "region": "eu-central-1",
        "bucket": aws.settings.bucket,
        "queue_url": queue,
        "dead_letter_url": dead,
        "question_key": aws.settings.question_key,
        "answer_key": aws.settings.answer_key,
        "image": "ab" * 48,
        "endpoint_url": moto,
        "attestation_root": write_roots(tmp_path / "roots.pem"),
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    (tmp_path / "sealbatch.toml").write_text(text)
    return Desk(aws, sqs, queue, dead, tmp_path)


def test_cancel_keeps_what_is_answered_and_ends_the_rest(desk: Desk) -> None:
    """The job has ended; a second cancel changes nothing and is no error."""
    job = make_job(desk.aws, 4, 4, 4)
    job.answer(0)
    job.answer(1, 4, 2)
    first = desk.type("cancel", str(job.ticket))
    assert (first.exit_code, json.loads(first.stdout)["canceled"]) == (0, 6)
    code, lines = desk.fetched(job)
    assert code == Exit.PARTIAL
    assert [line["outcome"] for line in lines] == ["succeeded"] * 6 + ["canceled"] * 6
    assert {line["error"]["code"] for line in lines[6:]} == {"batch_cancelled"}
    second = desk.type("cancel", str(job.ticket))
    assert (second.exit_code, json.loads(second.stdout)["canceled"]) == (0, 0)
    assert desk.fetched(job)[1] == lines


def test_a_job_that_was_canceled_before_anything_exits_6(desk: Desk) -> None:
    """None of its records has another outcome."""
    job = make_job(desk.aws, 4)
    assert desk.type("cancel", str(job.ticket)).exit_code == 0
    assert desk.fetched(job)[0] == Exit.CANCELED


def test_purge_removes_every_version_and_leaves_a_tombstone(desk: Desk) -> None:
    """Dry first; then nothing but the tombstone is left, and a fetch says so and writes nothing."""
    job = make_job(desk.aws, 2, 2)
    job.answer_all()
    job.put(ledger.notice_key("benefits", job.job), b"old")
    job.put(ledger.notice_key("benefits", job.job), b"new")
    there = desk.names(job.job)
    assert desk.type("purge", "--dry-run", str(job.ticket)).stdout == f"{len(there)} objects would be removed\n"
    assert desk.type("purge", str(job.ticket)).exit_code == Exit.USAGE
    assert desk.names(job.job) == there
    assert desk.type("purge", "--yes", str(job.ticket)).exit_code == 0
    assert desk.names(job.job) == [f"marks/{Mark.PURGED}"]
    gone = desk.type("fetch", str(job.ticket), "-o", str(desk.folder / "none.jsonl"))
    assert gone.exit_code == Exit.INTEGRITY
    assert "tombstone" in gone.stderr
    assert not (desk.folder / "none.jsonl").exists()
    assert desk.type("purge", "--yes", str(job.ticket)).exit_code == 0


def test_times_stand_in_the_manifest_and_in_every_message(desk: Desk) -> None:
    """What the bridge goes by is what the reader goes by."""
    done = desk.ask("--not-before", "2099-01-01T00:00Z", "--completion-window", "2h")
    assert done.exit_code == 0
    begins = 4_070_908_800_000
    sent = desk.messages()
    assert len(sent) == 3
    assert {(message.not_before_ms, message.deadline_ms) for message in sent} == {(begins, begins + 7_200_000)}
    key = ledger.manifest_key("benefits", sent[0].job)
    body = desk.aws.s3.get_object(Bucket=desk.aws.settings.bucket, Key=key)["Body"].read()
    assert manifest.decode_manifest(body).parameters == manifest.Parameters("", begins + 7_200_000, begins)


def test_at_the_deadline_the_job_ends_with_what_is_answered(desk: Desk) -> None:
    """The rest is expired, in the order of the input."""
    job = make_job(desk.aws, 2, 2, parameters=manifest.Parameters("", 1, None))
    job.answer(0)
    assert desk.type("wait", str(job.ticket)).exit_code == 0
    code, lines = desk.fetched(job)
    assert code == Exit.PARTIAL
    assert [line["outcome"] for line in lines] == ["succeeded"] * 2 + ["expired"] * 2
    assert desk.type("sweep", "--force", str(job.ticket)).exit_code == 0
    assert not desk.messages()


@pytest.mark.parametrize(
    "words",
    [
        ("--deadline", "tomorrow"),
        ("--deadline", "2001-01-01T00:00Z"),
        ("--completion-window", "8"),
        ("--completion-window", "0h"),
        ("--deadline", "2099-01-01T00:00Z", "--completion-window", "8h"),
        ("--deadline", "2099-01-01T00:00Z", "--not-before", "2099-01-02T00:00Z"),
    ],
)
def test_a_time_that_makes_no_sense_sends_nothing(desk: Desk, words: tuple[str, ...]) -> None:
    """It is named by its option, before anything is sealed."""
    done = desk.ask(*words)
    assert done.exit_code == Exit.USAGE
    assert words[-2] in done.stderr
    assert not desk.messages()


def test_one_job_is_made_under_an_idempotency_key(desk: Desk) -> None:
    """Typed twice, the same ticket comes out and nothing is sent again."""
    first, second = desk.ask("--idempotency-key", "mail 7"), desk.ask("--idempotency-key", "mail 7")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout == second.stdout
    assert "submitted before" in second.stderr
    assert len(desk.messages()) == 3
    assert desk.ask("--idempotency-key", "").exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("count", "words"),
    [(6, ()), (5, ("--max-tokens", "7")), (5, ("--not-before", "2098-01-01")), (5, ("--name", "other"))],
)
def test_an_idempotency_key_is_refused_for_another_submission(desk: Desk, count: int, words: tuple[str, ...]) -> None:
    """Another file or other options: a clear error with the job's id, nothing sent; the first one goes on as before."""
    typed = ("--idempotency-key", "mail", "--completion-window", "8h")
    first = desk.ask(*typed)
    sent = len(desk.messages())
    refused = desk.ask(*typed, *words, count=count)
    assert (refused.exit_code, refused.stdout) == (Exit.USAGE, "")
    job = Ticket.parse(first.stdout.strip()).job
    said = " ".join(refused.stderr.split())
    assert f"used before, for job {job}, with another input or other options" in said
    assert "nothing was sent" in said
    assert len(desk.messages()) == sent
    assert desk.ask(*typed).stdout == first.stdout


def test_sweep_sends_what_misses_and_only_when_no_message_can_exist(desk: Desk) -> None:
    """While the queue holds messages it waits; once they are gone, what has no answer is sent again as it was."""
    ticket = desk.ask().stdout.strip()
    assert json.loads(desk.type("sweep", ticket).stdout)["sent"] == 0
    before = desk.messages()
    desk.empty()
    bucket, last = desk.aws.settings.bucket, before[-1]
    answer = ledger.answer_key("benefits", last.job, last.chunk, last.first, last.count)
    desk.aws.s3.put_object(Bucket=bucket, Key=answer, Body=b"answered")
    assert json.loads(desk.type("sweep", "-n", ticket).stdout) | {"job": ""} == {
        "job": "",
        "chunks": 3,
        "missing": 2,
        "sent": 0,
    }
    assert json.loads(desk.type("sweep", "--all").stdout)["sent"] == 2
    again = desk.messages()
    assert [(m.chunk, m.first, m.count, m.digest) for m in again] == [
        (m.chunk, m.first, m.count, m.digest) for m in before[:2]
    ]


def test_sweep_every_goes_on_until_it_is_told_to_stop(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """What AWS does not answer is said and asked again; a job that lacks nothing is not asked for any more."""
    ticket = desk.ask().stdout.strip()
    assert desk.type("sweep", ticket, "--every", "soon").exit_code == Exit.USAGE
    assert desk.type("sweep", ticket, "--every", "10m", "--force").exit_code == Exit.USAGE
    desk.empty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sealbatch", "--config", "sealbatch.toml", "sweep", ticket, "--every", "10m"],
        cwd=desk.folder,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    row = json.loads(process.stdout.readline())
    process.terminate()
    assert (row["missing"], row["sent"], process.wait(60)) == (3, 3, 0)
    process.stdout.close()
    looks: list[str] = []

    def look(one: Ticket) -> Swept:
        looks.append(one.job)
        match len(looks):
            case 1:
                raise ServiceError(ServiceKind.UNAVAILABLE, "SQS", "GetQueueAttributes", "queue")
            case 4:
                os.kill(os.getpid(), signal.SIGTERM)
        return Swept(one.job, 3, 0 if one.job == "b" * 16 else 2, 0)

    jobs = [Ticket("a" * 16, bytes(16)), Ticket("b" * 16, bytes(16))]
    keep_sweeping(Screen(as_json=True), lambda: jobs, look, 0.01)
    assert looks == ["a" * 16, "b" * 16, "a" * 16, "a" * 16]
    assert "SQS GetQueueAttributes on queue" in capsys.readouterr().err


def test_the_dead_letter_queue_is_listed_shown_redriven_and_dropped(desk: Desk) -> None:
    """By reason and by job, dry first; nothing that is no chunk is sent back."""
    desk.ask()
    sent = desk.messages()
    for message in sent:
        desk.sqs.send_message(QueueUrl=desk.dead, MessageBody=message.encode())
    desk.sqs.send_message(QueueUrl=desk.dead, MessageBody="words of somebody's")
    desk.empty()
    listed = parse_lines(desk.type("dlq", "ls").stdout_bytes)
    assert sorted(row["reason"] for row in listed) == ["too_many_receives"] * 3 + ["undecodable"]
    assert "words" not in desk.type("dlq", "ls").stdout
    shown = json.loads(desk.type("dlq", "show", listed[0]["id"][:13]).stdout)
    assert (shown["id"], shown["reason"]) == (listed[0]["id"], listed[0]["reason"])
    assert desk.type("dlq", "show", "nothing").exit_code == Exit.NO_SUCH_JOB
    chosen = desk.type("dlq", "ls", "--reason", "undecodable", "--limit", "9")
    assert [row["reason"] for row in parse_lines(chosen.stdout_bytes)] == ["undecodable"]
    assert chosen.stderr.endswith("next: sealbatch dlq redrive --reason undecodable --limit 9 --dry-run\n")
    dry = desk.type("dlq", "redrive", "--dry-run", "--job", sent[0].job)
    assert dry.stdout == "3 chunks would be sent again\n"
    assert dry.stderr.endswith(f"next: sealbatch dlq redrive --job {sent[0].job}\n")
    assert desk.type("dlq", "redrive", "--job", "zzzz").stdout == "0 chunks were sent again\n"
    assert desk.type("dlq", "redrive", "--job", sent[0].job).stdout == "3 chunks were sent again\n"
    assert desk.messages() == sent
    assert desk.type("dlq", "drop", "--reason", "undecodable").exit_code == Exit.USAGE
    dry = desk.type("dlq", "drop", "--reason", "undecodable", "-n")
    assert dry.stdout == "1 messages would be removed\n"
    assert dry.stderr.endswith("next: sealbatch dlq drop --reason undecodable --yes\n")
    assert desk.type("dlq", "drop", "--reason", "undecodable", "--yes").stdout == "1 messages were removed\n"
    assert desk.type("dlq", "ls").stdout == ""
    assert desk.type("dlq", "ls", "--reason", "other").exit_code == Exit.USAGE


class Retrier:
    """Answers what the real producer submits: it looks on while keysets are made."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self._desk = desk
        self.keysets: list[Any] = []
        original = producer.submit.generate_keyset

        def look(*arguments: Any) -> Any:
            self.keysets.append(original(*arguments))
            return self.keysets[-1]

        monkeypatch.setattr(producer.submit, "generate_keyset", look)

    def answer(self, number: int, outcomes: dict[int, Result_ | None]) -> None:
        """Answer the records of the job of keyset `number`, those of line n as `outcomes` says, the others well."""
        keyset = self.keysets[number]
        for message in self._desk.messages():
            sealed = self._desk.body(ledger.question_key(message.tenant, message.job, message.chunk))
            questions = parse_questions(sealed)
            if questions.header.wrapped != keyset.public.question_wrapped:
                continue
            payload = QuestionPayload.decode(questions.open(keyset.question_key))
            results = tuple(
                outcomes.get(record.line)
                or Result_(record.number, record.line, record.custom_id, Outcome.SUCCEEDED, f"{number}", "stop", 1, 1)
                for record in payload.records
            )
            results = tuple(
                replace(result, number=r.number) for result, r in zip(results, payload.records, strict=True)
            )
            header = AnswerHeader(
                tenant=message.tenant,
                job=message.job,
                image=questions.header.image,
                chunk=message.chunk,
                first=message.first,
                count=message.count,
                key_arn=payload.answer_key_arn,
                wrapped_digest=payload.answer_wrapped_digest,
                question_digest=questions.digest,
                model=bytes(32),
                template=bytes(32),
            )
            body = seal(header, keyset.answer_key, AnswerPayload("test/model", payload.salt, results).encode())
            started = datetime.now(UTC).replace(microsecond=0)
            receipt = make_receipt(body, payload.salt, results, started=started)
            key = ledger.answer_key(message.tenant, message.job, message.chunk, message.first, message.count)
            sealed = attach_receipt(body, keyset.answer_key, receipt)
            self._desk.aws.s3.put_object(Bucket=self._desk.aws.settings.bucket, Key=key, Body=sealed)


def lost(line: int, code: ErrorCode = ErrorCode.INTERNAL_ERROR) -> Result_:
    """A record that the enclave could not answer."""
    return Result_(0, line, f"case-{line - 1}", Outcome.ERRORED, error=code)


def test_a_retry_asks_what_failed_and_the_first_jobs_fetch_merges_both(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers stay; what failed is asked again under its own line and custom_id; nothing else is."""
    enclave = Retrier(desk, monkeypatch)
    first = desk.ask().stdout.strip()
    file, out = str(desk.folder / "questions.jsonl"), str(desk.folder / "out.jsonl")
    enclave.answer(0, {2: lost(2), 5: lost(5), 3: lost(3, ErrorCode.CONTEXT_LENGTH_EXCEEDED)})
    assert desk.type("fetch", first, "-o", out).exit_code == Exit.PARTIAL
    desk.empty()
    retried = desk.type("retry", first, file)
    assert retried.exit_code == 0
    assert sum(message.count for message in desk.messages()) == 2
    assert desk.type("fetch", first, "-o", out, "--force").exit_code == Exit.TEMPORARY
    enclave.answer(1, {5: lost(5)})
    assert desk.type("fetch", first, "-o", out, "--force").exit_code == Exit.PARTIAL
    lines = parse_lines(Path(out).read_bytes())
    assert [line["custom_id"] for line in lines] == [f"case-{n}" for n in range(5)]
    assert [line["line"] for line in lines] == [1, 2, 3, 4, 5]
    told = [line["response"] and line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]
    assert told == ["0", "1", None, "0", None]
    assert len({line["id"] for line in lines}) == 5
    assert desk.type("retry", retried.stdout.strip(), file).exit_code == Exit.USAGE
    desk.empty()
    assert desk.type("retry", first, file).exit_code == 0
    enclave.answer(2, {})
    assert desk.type("fetch", first, "-o", out, "--force").exit_code == Exit.PARTIAL
    told = [line["outcome"] for line in parse_lines(Path(out).read_bytes())]
    assert told == ["succeeded", "succeeded", "errored", "succeeded", "succeeded"]


def test_a_retry_of_a_canceled_job_asks_all_that_was_canceled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unfinished job is not retried; a canceled one is, though nobody attested which lines those are."""
    enclave = Retrier(desk, monkeypatch)
    first = desk.ask().stdout.strip()
    file, out = str(desk.folder / "questions.jsonl"), str(desk.folder / "out.jsonl")
    assert desk.type("retry", first, file).exit_code == Exit.TEMPORARY
    desk.empty()
    assert desk.type("cancel", first).exit_code == 0
    assert desk.type("retry", first, file).exit_code == 0
    enclave.answer(1, {})
    assert desk.type("fetch", first, "-o", out).exit_code == 0
    assert [line["custom_id"] for line in parse_lines(Path(out).read_bytes())] == [f"case-{n}" for n in range(5)]
    assert desk.type("retry", first, file).stdout == ""


def test_another_job_is_not_taken_for_a_retry(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the first job's answer key did not make is passed over: yesterday's answers stay there."""
    enclave = Retrier(desk, monkeypatch)
    first = Ticket.parse(desk.ask().stdout.strip())
    enclave.answer(0, {2: lost(2)})
    other = Ticket.parse(desk.ask().stdout.strip())
    enclave.answer(1, {})
    link = ledger.retry_key("benefits", first.job, str(other), bytes(32))
    desk.aws.s3.put_object(Bucket=desk.aws.settings.bucket, Key=link, Body=b"")
    assert desk.type("fetch", str(first), "-o", str(desk.folder / "out.jsonl")).exit_code == Exit.PARTIAL
    lines = parse_lines((desk.folder / "out.jsonl").read_bytes())
    assert [line["outcome"] for line in lines] == ["succeeded", "errored", "succeeded", "succeeded", "succeeded"]


def test_junk_beside_a_jobs_retries_hides_none_of_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 names before the true one once kept it from being seen, and so did an object that was written over it."""
    enclave = Retrier(desk, monkeypatch)
    first, s3, bucket = desk.ask().stdout.strip(), desk.aws.s3, desk.aws.settings.bucket
    file, out = str(desk.folder / "questions.jsonl"), str(desk.folder / "out.jsonl")
    enclave.answer(0, {2: lost(2)})
    desk.empty()
    assert desk.type("retry", first, file).exit_code == 0
    enclave.answer(1, {})
    job = Ticket.parse(first).job
    prefix = ledger.retry_prefix("benefits", job)
    [true] = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
    junk = [
        ledger.retry_key("benefits", job, str(Ticket("a" * 16, n.to_bytes(16, "big"))), bytes(32))
        for n in range(ledger.MAX_RETRIES)
    ]
    for key in [*junk, f"{prefix}{'a' * 16}", f"{prefix}ä", f"{true} ", true.upper(), true[:-1]]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.put_object(Bucket=bucket, Key=true, Body=b"written over")
    assert desk.type("fetch", first, "-o", out).exit_code == 0
    assert {line["outcome"] for line in parse_lines(Path(out).read_bytes())} == {"succeeded"}


def test_a_retry_takes_the_jobs_own_input_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file is found out before anything is sealed."""
    enclave = Retrier(desk, monkeypatch)
    first = desk.ask().stdout.strip()
    enclave.answer(0, {2: lost(2)})
    other = desk.folder / "other.jsonl"
    other.write_text("".join(json.dumps({"custom_id": f"x-{n}", "question": "?"}) + "\n" for n in range(5)))
    assert desk.type("retry", first, str(other)).exit_code == Exit.INTEGRITY
    assert len(enclave.keysets) == 1
