"""Submitting against KMS, S3 and SQS over HTTP: what lies there afterwards, and what after each failure."""

import hashlib
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from producer_samples import CSV, JSONL, Aws, make_aws, many, moto_clients, short

from aws_errors.service_error import ServiceError, ServiceKind
from producer.chunks import ChunkLimits
from producer.clients import Clients
from producer.errors import InputInvalid, SendIncomplete, SpoolError
from producer.forms import InputForm
from producer.submission import Phase, Submission, SubmitOptions, SubmitProgress
from producer.submit import submit
from wire import ledger
from wire.envelope import parse_questions
from wire.keys import Purpose, encryption_context
from wire.manifest import Manifest, Parameters, decode_manifest, decode_page, manifest_digest, verify_manifest
from wire.merkle import MerkleTree
from wire.payload import ErrorCode, Params, QuestionPayload, Record


@pytest.fixture(scope="module")
def clients(moto: str) -> Iterator[Clients]:
    """Those of all tests here."""
    with moto_clients(moto) as made:
        yield made


@pytest.fixture
def aws(clients: Clients) -> Aws:
    """Keys, bucket and queue of this test alone."""
    return make_aws(clients)


ROOMY = ChunkLimits(records=500, work=10**6)


class Spy:
    """A client that counts calls, and fails the calls of one operation from the `after`th on."""

    def __init__(self, client: Any, operation: str = "", error: Exception | None = None, after: int = 0) -> None:
        self.calls: list[str] = []
        self._client = client
        self._operation = operation
        self._error = error
        self._after = after

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            self.calls.append(name)
            if name == self._operation and self.calls.count(name) > self._after and self._error is not None:
                raise self._error
            return getattr(self._client, name)(**request)

        return call


def send(
    aws: Aws,
    data: bytes,
    *,
    form: InputForm = JSONL,
    options: SubmitOptions | None = None,
    clients: Clients | None = None,
    progress: Any = None,
) -> Submission:
    """Submit `data`."""
    extra = () if progress is None else (progress,)
    return submit(
        io.BytesIO(data), form, Params(), options or SubmitOptions(), aws.settings, clients or aws.clients, *extra
    )


def unwrap(aws: Aws, manifest: Manifest, purpose: Purpose) -> bytes:
    """What KMS makes of the first keyset's wrapped key."""
    keyset = manifest.keysets[0]
    wrapped = keyset.question_wrapped if purpose == "question" else keyset.answer_wrapped
    context = encryption_context(purpose, aws.settings.tenant, manifest.job, aws.settings.image)
    key: bytes = aws.kms.decrypt(CiphertextBlob=wrapped, EncryptionContext=context)["Plaintext"]
    return key


def opened(aws: Aws, job: str) -> list[Record]:
    """The job's records as an enclave sees them, with everything that binds them checked."""
    tenant = aws.settings.tenant
    data = aws.body(ledger.manifest_key(tenant, job))
    manifest = decode_manifest(data)
    answer_key = unwrap(aws, manifest, "answer")
    assert verify_manifest(data, answer_key) == manifest
    question_key = unwrap(aws, manifest, "question")
    tree = MerkleTree()
    records: list[Record] = []
    for number in range(manifest.pages):
        for entry in decode_page(aws.body(ledger.page_key(tenant, job, number))):
            tree.append(entry.encode())
            sealed = aws.body(ledger.question_key(tenant, job, entry.chunk))
            assert hashlib.sha256(sealed).digest() == entry.digest
            payload = QuestionPayload.decode(parse_questions(sealed).open(question_key))
            assert payload.answer_key == answer_key
            assert (entry.first, entry.count) == (len(records), len(payload.records))
            records += payload.records
    assert tree.root() == manifest.root
    assert len(records) == manifest.records
    return records


def test_what_was_submitted_opens_with_what_kms_unwraps(aws: Aws) -> None:
    """Manifest, pages, digests and sealed chunks agree, and hold every record in order under its custom_id."""
    done = send(aws, many(70), options=SubmitOptions(parameters=Parameters("october")))
    records = opened(aws, done.job)
    data = aws.body(ledger.manifest_key("benefits", done.job))
    assert done.ticket is not None
    assert done.ticket.digest == manifest_digest(data)
    assert decode_manifest(data).parameters == Parameters("october")
    assert (done.records, done.chunks, done.skipped) == (70, 3, 0)
    assert [(record.number, record.line, record.custom_id) for record in records] == [
        (at, at + 1, f"case-{at}") for at in range(70)
    ]


def test_each_chunk_has_one_message_that_carries_it(aws: Aws) -> None:
    """The queue's messages name every chunk once, with the very bytes that lie in S3."""
    done = send(aws, many(25), options=SubmitOptions(limits=ChunkLimits(records=1)))
    messages = sorted(map(ledger.parse_chunk_message, aws.messages()), key=lambda message: message.chunk)
    assert [message.chunk for message in messages] == list(range(25))
    for message in messages:
        sealed = aws.body(ledger.question_key("benefits", done.job, message.chunk))
        assert message.inline == sealed
        assert (message.size, message.digest) == (len(sealed), hashlib.sha256(sealed).digest())


def test_a_chunk_too_large_for_a_message_is_named_there_and_not_carried(aws: Aws) -> None:
    """Its message holds digest and size, and its object lies in S3."""
    done = send(aws, b"".join(short(f"case-{at}", "leave " * 15_000) for at in range(2)), options=SubmitOptions(ROOMY))
    (message,) = map(ledger.parse_chunk_message, aws.messages())
    assert message.inline is None
    assert message.size == len(aws.body(ledger.question_key("benefits", done.job, 0))) > ledger.MAX_BODY


def test_kms_is_called_twice_for_a_job_of_any_size(aws: Aws) -> None:
    """5,000 records take one question key and one answer key."""
    kms = Spy(aws.kms)
    done = send(aws, many(5000), clients=replace(aws.clients, kms=kms), options=SubmitOptions(ROOMY))
    assert kms.calls == ["generate_data_key", "generate_data_key"]
    assert done.records == 5000


def test_no_word_of_the_input_is_seen_outside(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """Neither question nor custom_id is in an object, a message or a log line."""
    caplog.set_level(logging.DEBUG, "sealbatch")
    send(aws, short("marker-id-4711", "MARKER-QUESTION-4711"))
    seen = b"".join(map(aws.body, aws.keys())) + "".join([*aws.messages(), *aws.keys(), caplog.text]).encode()
    assert b"4711" not in seen
    assert b"job submitted" in seen


def test_progress_goes_through_the_phases_and_shows_the_ticket_with_the_last(aws: Aws) -> None:
    """Chunks are counted up to their total, first into S3 and then into the queue."""
    steps: list[SubmitProgress] = []
    done = send(aws, many(2048), options=SubmitOptions(replace(ROOMY, records=512)), progress=steps.append)
    assert [(step.phase, step.done, step.total) for step in steps if step.phase != Phase.SEND] == [
        (Phase.SEAL, 1024, None),
        (Phase.SEAL, 2048, None),
        *((Phase.UPLOAD, at, 4) for at in range(1, 5)),
    ]
    sending = [step for step in steps if step.phase == Phase.SEND]
    assert (sending[0].done, sending[-1].done) == (0, 4)
    assert {step.ticket for step in steps} == {None, done.ticket}
    assert {step.ticket for step in sending} == {done.ticket}


@pytest.mark.parametrize("data", [b"", short("a") + short("a"), short("a") + b"{", b"\xff\xfe"])
def test_a_bad_input_puts_nothing_anywhere(aws: Aws, data: bytes) -> None:
    """The report comes back, and neither S3 nor SQS nor, for so short a file, KMS was called."""
    kms, s3, sqs = Spy(aws.kms), Spy(aws.s3), Spy(aws.sqs)
    with pytest.raises(InputInvalid) as caught:
        send(aws, data, clients=Clients(kms, s3, sqs))
    assert caught.value.report.problem_count == 1
    assert (s3.calls, sqs.calls) == ([], [])


def test_a_problem_after_many_chunks_still_puts_nothing_anywhere(aws: Aws) -> None:
    """Chunks that were sealed before the bad line stay in the spool."""
    s3, sqs = Spy(aws.s3), Spy(aws.sqs)
    with pytest.raises(InputInvalid) as caught:
        send(aws, many(200) + b"oops\n" + short("later"), clients=Clients(aws.kms, s3, sqs))
    assert caught.value.report.records == 201
    assert [problem.line for problem in caught.value.report.problems] == [201]
    assert (s3.calls, sqs.calls) == ([], [])


def test_with_skip_invalid_every_line_becomes_a_record(aws: Aws) -> None:
    """Invalid lines are sealed as records with their code, without messages, and with ids that are unique."""
    data = short("a") + b"{\n" + short("a") + short("line-2") + b'{"custom_id":"x","question":""}\n'
    done = send(aws, data, options=SubmitOptions(skip_invalid=True))
    assert [(r.line, r.custom_id, r.problem, bool(r.messages)) for r in opened(aws, done.job)] == [
        (1, "a", None, True),
        (2, "line-2", ErrorCode.INVALID_JSON_LINE, False),
        (3, "line-3", ErrorCode.DUPLICATE_CUSTOM_ID, False),
        (4, "line-4", ErrorCode.DUPLICATE_CUSTOM_ID, False),
        (5, "x", ErrorCode.INVALID_RECORD, False),
    ]
    assert (done.records, done.skipped) == (5, 4)


@pytest.mark.parametrize(("data", "form"), [(b"{\n{\n", JSONL), (b'question\nok\n"open\n', CSV)])
def test_skip_invalid_does_not_submit_what_holds_no_question_or_ends_in_the_dark(
    aws: Aws, data: bytes, form: InputForm
) -> None:
    """Only invalid lines, or a CSV whose rows cannot be told apart any more, are refused all the same."""
    s3 = Spy(aws.s3)
    with pytest.raises(InputInvalid):
        send(aws, data, form=form, options=SubmitOptions(skip_invalid=True), clients=replace(aws.clients, s3=s3))
    assert s3.calls == []


def test_a_dry_run_calls_nothing(aws: Aws) -> None:
    """It seals all the same, under keys that it throws away, and gives no ticket."""
    kms, s3, sqs = Spy(aws.kms), Spy(aws.s3), Spy(aws.sqs)
    done = send(aws, many(40), options=SubmitOptions(dry_run=True), clients=Clients(kms, s3, sqs))
    assert (kms.calls, s3.calls, sqs.calls) == ([], [], [])
    assert (done.ticket, done.records, done.chunks) == (None, 40, 2)
    assert done.sealed_bytes > 2 * 4096


DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "secret words"}}, "PutObject")


@pytest.mark.parametrize("after", [0, 3, 10, 11])
def test_nothing_is_left_when_s3_fails_half_way(aws: Aws, after: int) -> None:
    """Whether a chunk, the page or the manifest fails: what was put is removed, no message is sent, no ticket made."""
    s3, sqs = Spy(aws.s3, "put_object", DENIED, after), Spy(aws.sqs)
    with pytest.raises(ServiceError) as caught:
        send(aws, many(10), options=SubmitOptions(ChunkLimits(1)), clients=Clients(aws.kms, s3, sqs))
    assert aws.keys() == []
    assert sqs.calls == []
    assert (caught.value.kind, caught.value.resource) == (ServiceKind.DENIED, aws.settings.bucket)
    assert str(caught.value).endswith("; nothing was submitted")
    assert "secret" not in str(caught.value)


def test_an_interrupted_upload_is_taken_back(aws: Aws) -> None:
    """Ctrl-C before the manifest leaves no object, and the interrupt goes on to the caller."""

    def interrupt(step: SubmitProgress) -> None:
        if step.phase == Phase.UPLOAD and step.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(aws, many(100), options=SubmitOptions(ChunkLimits(1)), progress=interrupt)
    assert aws.keys() == []
    assert aws.messages() == []


def test_what_may_not_be_removed_is_told(aws: Aws) -> None:
    """A producer without the right to delete says how many sealed objects may be left."""
    s3 = Spy(Spy(aws.s3, "put_object", DENIED, 2), "delete_objects", DENIED)
    with pytest.raises(ServiceError, match="nothing was submitted, 5 sealed objects may be left"):
        send(aws, many(3), options=SubmitOptions(ChunkLimits(1)), clients=replace(aws.clients, s3=s3))


def test_a_lost_reply_to_a_put_does_not_fail_the_job(aws: Aws) -> None:
    """The retry meets our own object and 412; reading it back shows that it is ours."""

    class LosesReplies(Spy):
        def put_object(self, **request: Any) -> Any:
            aws.s3.put_object(**request)
            return aws.s3.put_object(**request)

    done = send(aws, many(3), clients=replace(aws.clients, s3=LosesReplies(aws.s3)))
    assert len(opened(aws, done.job)) == 3


def test_another_object_in_the_place_of_ours_is_not_taken_for_ours(aws: Aws) -> None:
    """Nothing is submitted when a foreign object holds a key of the job."""

    class Forestalled(Spy):
        def put_object(self, **request: Any) -> Any:
            aws.s3.put_object(**{**request, "Body": request["Body"] + b"!"})
            return aws.s3.put_object(**request)

    with pytest.raises(ServiceError, match="PreconditionFailed") as caught:
        send(aws, many(3), clients=replace(aws.clients, s3=Forestalled(aws.s3)))
    assert caught.value.kind == ServiceKind.INVALID


def test_the_ticket_survives_a_queue_that_is_gone(aws: Aws) -> None:
    """The job is complete in S3, and the error holds its ticket and says that no chunk was sent."""
    aws.sqs.delete_queue(QueueUrl=aws.settings.queue_url)
    with pytest.raises(SendIncomplete, match="0 of 3 chunks were sent") as caught:
        send(aws, many(3), options=SubmitOptions(ChunkLimits(1)))
    assert caught.value.cause.kind == ServiceKind.MISSING
    assert len(opened(aws, caught.value.ticket.job)) == 3


def test_messages_that_sqs_did_not_take_are_offered_again(aws: Aws) -> None:
    """A partial failure of a batch resends those that failed and no other."""

    class Partial(Spy):
        def send_message_batch(self, **request: Any) -> Any:
            self.calls.append(f"{len(request['Entries'])}")
            entries = request["Entries"]
            half = entries if len(entries) == 1 else entries[: len(entries) // 2]
            aws.sqs.send_message_batch(QueueUrl=request["QueueUrl"], Entries=half)
            return {"Failed": [{"Id": entry["Id"], "SenderFault": False} for entry in entries if entry not in half]}

    sqs = Partial(aws.sqs)
    send(aws, many(4), options=SubmitOptions(ChunkLimits(1)), clients=replace(aws.clients, sqs=sqs))
    assert sqs.calls == ["4", "2", "1"]
    assert sorted(json.loads(body)["chunk"] for body in aws.messages()) == [0, 1, 2, 3]


@pytest.mark.parametrize("resource", ["question_key", "answer_key", "bucket"])
def test_what_is_missing_is_named(aws: Aws, resource: str) -> None:
    """A key or bucket that does not exist is told by its configured name, and nothing was submitted."""
    gone = "nowhere" if resource == "bucket" else aws.settings.question_key[:-4] + "0000"
    server = replace(aws, settings=replace(aws.settings, **{resource: gone}))
    with pytest.raises(ServiceError, match=r"does not exist.*nothing was submitted") as caught:
        send(server, many(1))
    assert (caught.value.kind, caught.value.resource) == (ServiceKind.MISSING, gone)
    assert aws.keys() == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            ClientError({"Error": {"Code": "ExpiredTokenException", "Message": "m"}}, "GenerateDataKey"),
            ServiceKind.CREDENTIALS,
        ),
        (
            ClientError({"Error": {"Code": "AccessDeniedException", "Message": "m"}}, "GenerateDataKey"),
            ServiceKind.DENIED,
        ),
        (EndpointConnectionError(endpoint_url="http://kms"), ServiceKind.UNAVAILABLE),
    ],
)
def test_without_a_key_nothing_is_sent(aws: Aws, error: Exception, kind: ServiceKind) -> None:
    """Expired credentials, a refusal of KMS and a dead line are told apart, before anything is put."""
    s3 = Spy(aws.s3)
    with pytest.raises(ServiceError, match="nothing was submitted") as caught:
        send(aws, many(1), clients=Clients(Spy(aws.kms, "generate_data_key", error), s3, aws.sqs))
    assert caught.value.kind == kind
    assert s3.calls == []


def test_a_full_disk_stops_before_anything_is_sent(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the folder and what to do."""

    def full(_: int, __: object) -> int:
        raise OSError(28, "No space left on device")

    s3 = Spy(aws.s3)
    monkeypatch.setattr("producer.spool.os.write", full)
    with pytest.raises(SpoolError, match="no space left; TMPDIR") as caught:
        send(aws, many(1), clients=replace(aws.clients, s3=s3))
    assert caught.value.full
    assert s3.calls == []
