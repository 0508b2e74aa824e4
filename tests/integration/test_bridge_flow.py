"""The bridge between a real queue and bucket over HTTP and an enclave over a real socket."""

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from fake_enclave import IMAGE, FakeEnclave, answer
from waiting import wait_until

from vsock_bridge.bridge import Bridge
from vsock_bridge.clients import Clients
from vsock_bridge.dead_letters import DeadLetters
from vsock_bridge.health import HealthServer
from vsock_bridge.plan import ALONE
from vsock_bridge.settings import BridgeSettings
from vsock_bridge.trials import GIVE_UP
from wire import ledger
from wire.address import Address
from wire.ledger import ChunkMessage
from wire.messages import Message, Refusal, RefusalCode, Unwrap, UnwrapCode, Unwrapped, UnwrapRefused, Work

KEY = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000a"
JOB = "abcdefghijklmnop"
TENANT = "benefits"


class FakeKms:
    """KMS Decrypt that replies or raises what it is told."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] | Exception = {"KeyId": KEY, "CiphertextForRecipient": b"cms"}
        self.asked: list[dict[str, Any]] = []

    def decrypt(self, **request: Any) -> dict[str, Any]:
        """The scripted reply."""
        self.asked.append(request)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


@dataclass
class World:
    """A queue, a bucket, KMS and an enclave's address, with bridges to run between them."""

    sqs: Any
    s3: Any
    kms: FakeKms
    settings: BridgeSettings
    address: Address
    running: list[tuple[Bridge, threading.Thread]]
    dead_letters: str

    def send(self, chunk: int, *, inline: bool = True, **times: int) -> ChunkMessage:
        """Put a chunk into the bucket and its message into the queue."""
        sealed = b"sealed questions %d" % chunk
        message = ChunkMessage(
            TENANT,
            JOB,
            chunk,
            4 * chunk,
            4,
            hashlib.sha256(sealed).digest(),
            len(sealed),
            sealed if inline else None,
            **times,
        )
        self.s3.put_object(Bucket="bucket", Key=ledger.question_key(TENANT, JOB, chunk), Body=sealed)
        self.sqs.send_message(QueueUrl=self.settings.queue_url, MessageBody=message.encode())
        return message

    def receive(self, times: int) -> None:
        """Have the queue deliver what is visible so many times to nobody."""
        for _ in range(times):
            self.sqs.receive_message(QueueUrl=self.settings.queue_url, VisibilityTimeout=0)

    def bridge(self, **changes: Any) -> Bridge:
        """A running bridge."""
        bridge = Bridge(replace(self.settings, **changes), Clients(self.kms, self.s3, self.sqs))
        thread = threading.Thread(target=bridge.run)
        thread.start()
        self.running.append((bridge, thread))
        return bridge

    def stop(self) -> None:
        """Stop all bridges and wait for their ends."""
        for bridge, _ in self.running:
            bridge.stop()
        for _, thread in self.running:
            thread.join(20)
            assert not thread.is_alive()
        self.running.clear()

    def names(self, part: str) -> list[str]:
        """Names of the job's objects below `part`."""
        listing = self.s3.list_objects_v2(Bucket="bucket", Prefix=f"{TENANT}/{JOB}/{part}")
        return [item["Key"].rpartition("/")[2] for item in listing.get("Contents", ())]

    def answered(self) -> int:
        """Records that lie in answers; those of a chunk that was received before lie in several."""
        return sum(ledger.parse_answer_name(name).count for name in self.names("answers/"))

    def body(self, key: str) -> bytes:
        """An object."""
        data: bytes = self.s3.get_object(Bucket="bucket", Key=key)["Body"].read()
        return data

    def queued(self) -> tuple[int, int]:
        """Messages that wait, and messages in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.settings.queue_url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


@pytest.fixture
def world(moto: str, tmp_path: Path) -> Iterator[World]:
    """A fresh queue and bucket."""
    session = boto3.session.Session("testing", "testing", region_name="eu-central-1")
    options = Config(retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=32)
    sqs = session.client("sqs", endpoint_url=moto, config=options)
    s3 = session.client("s3", endpoint_url=moto, config=options)
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    url = sqs.create_queue(QueueName="chunks")["QueueUrl"]
    address = Address.parse(f"unix:///tmp/sb-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}.sock")
    settings = BridgeSettings(
        url, "bucket", KEY, (address,), visibility=30, wait=1, grace=5.0, breaker_first=0.2, breaker_longest=0.4
    )
    dead_letters = sqs.create_queue(QueueName="dead")["QueueUrl"]
    world = World(sqs, s3, FakeKms(), settings, address, [], dead_letters)
    yield world
    world.stop()
    for item in s3.list_objects_v2(Bucket="bucket").get("Contents", ()):
        s3.delete_object(Bucket="bucket", Key=item["Key"])
    s3.delete_bucket(Bucket="bucket")
    sqs.delete_queue(QueueUrl=url)
    sqs.delete_queue(QueueUrl=dead_letters)


@pytest.fixture
def enclave(world: World) -> Iterator[FakeEnclave]:
    """An enclave that answers."""
    enclave = FakeEnclave(world.address)
    yield enclave
    world.stop()
    enclave.stop()


def test_each_chunk_is_answered_stored_and_deleted(world: World, enclave: FakeEnclave) -> None:
    """Inline or fetched from S3, each chunk's answer lies at its key and its message is gone."""
    sent = [world.send(chunk, inline=chunk % 2 == 0) for chunk in range(7)]
    world.bridge()
    wait_until(lambda: len(world.names("answers/")) == 7 and world.queued() == (0, 0), what="seven answers")
    for chunk in sent:
        key = ledger.answer_key(TENANT, JOB, chunk.chunk, chunk.first, chunk.count)
        assert world.body(key) == b"answer to sealed questions %d" % chunk.chunk
    assert sorted((work.first, work.count) for work in enclave.seen) == [(4 * n, 4) for n in range(7)]


def test_no_more_is_received_than_the_enclave_said_it_holds(world: World, enclave: FakeEnclave) -> None:
    """While the window is full the other messages stay in the queue."""
    enclave.behave = lambda _: None
    for chunk in range(6):
        world.send(chunk)
    world.bridge()
    wait_until(lambda: len(enclave.seen) == 2, what="a full window")
    wait_until(lambda: world.queued() == (4, 2), what="four waiting messages")
    enclave.behave = answer
    for work in list(enclave.seen):
        enclave.say(answer(work))
    wait_until(lambda: len(world.names("answers/")) == 6, what="six answers")
    assert enclave.most == 2


def test_a_dead_enclave_loses_nothing(world: World, enclave: FakeEnclave) -> None:
    """Chunks that were with it are given back at once and answered after the reconnect."""
    enclave.behave = lambda _: None
    for chunk in range(2):
        world.send(chunk)
    world.bridge()
    wait_until(lambda: len(enclave.seen) == 2, what="two chunks with the enclave")
    enclave.behave = answer
    enclave.hang_up()
    wait_until(lambda: world.answered() == 8 and world.queued() == (0, 0), 20, "two answers")


def test_a_chunk_that_was_answered_before_keeps_its_answer(world: World, enclave: FakeEnclave) -> None:
    """A second delivery finds the same answer at its key: nothing is added, and the message is deleted."""
    chunk = world.send(0)
    world.bridge()
    wait_until(lambda: world.names("answers/") == ["00000000.0.4"] and world.queued() == (0, 0), what="one answer")
    world.sqs.send_message(QueueUrl=world.settings.queue_url, MessageBody=chunk.encode())
    wait_until(lambda: len(enclave.seen) == 2 and world.queued() == (0, 0), what="the second delivery")
    assert world.names("answers/") == ["00000000.0.4"]


def test_a_foreign_object_does_not_block_the_true_answer(world: World, enclave: FakeEnclave) -> None:
    """The answer goes beside it, under its digest; the foreign object stays for the reader to reject."""
    key = ledger.answer_key(TENANT, JOB, 0, 0, 4)
    world.s3.put_object(Bucket="bucket", Key=key, Body=b"foreign")
    world.send(0)
    world.bridge()
    wait_until(lambda: len(world.names("answers/")) == 2 and world.queued() == (0, 0), what="an alternative")
    assert world.body(key) == b"foreign"
    true = b"answer to sealed questions 0"
    assert world.body(ledger.alternative(key, true)) == true
    assert len(enclave.seen) == 1


def test_a_tampered_inline_copy_is_replaced_by_the_one_in_the_bucket(world: World, enclave: FakeEnclave) -> None:
    """The message's digest decides, and S3 has the true bytes."""
    chunk = world.send(0, inline=False)
    world.sqs.purge_queue(QueueUrl=world.settings.queue_url)
    world.sqs.send_message(QueueUrl=world.settings.queue_url, MessageBody=replace(chunk, inline=b"tampered").encode())
    world.bridge()
    wait_until(lambda: bool(enclave.seen), what="work")
    assert enclave.seen[0].sealed == b"sealed questions 0"


def test_an_undecodable_message_goes_to_the_dead_letter_queue_without_its_content(
    world: World, enclave: FakeEnclave
) -> None:
    """What lies there is the reason, size and digest; others are not kept waiting by it."""
    world.sqs.send_message(QueueUrl=world.settings.queue_url, MessageBody="no chunk, but words of somebody's")
    world.send(0)
    world.bridge(dead_letters=world.dead_letters)
    wait_until(lambda: len(world.names("answers/")) == 1 and world.queued() == (0, 0), what="the good chunk's answer")
    letters = DeadLetters(world.sqs, world.dead_letters, world.settings.queue_url)
    (letter,) = list(letters.look(10))
    assert (letter.reason, letter.why) == ("undecodable", "queue message: not the JSON object that was expected")
    assert (letter.size, letter.chunk) == (33, None)
    assert "words" not in letter.body
    assert world.sqs.receive_message(QueueUrl=world.dead_letters)["Messages"]
    assert len(enclave.seen) == 1


def test_without_a_dead_letter_queue_an_undecodable_message_stays(world: World, enclave: FakeEnclave) -> None:
    """It is neither deleted nor in the way of others."""
    world.sqs.send_message(QueueUrl=world.settings.queue_url, MessageBody="no chunk")
    world.send(0)
    world.bridge()
    wait_until(lambda: len(world.names("answers/")) == 1, what="the good chunk's answer")
    wait_until(lambda: world.queued() == (0, 1), what="the bad message in flight")
    assert len(enclave.seen) == 1


def test_missing_questions_are_looked_for_again_and_then_given_up(world: World, enclave: FakeEnclave) -> None:
    """A chunk whose questions are gone goes back to the queue; the job can end when they stay away."""
    world.send(0, inline=False)
    world.s3.delete_object(Bucket="bucket", Key=ledger.question_key(TENANT, JOB, 0))
    world.bridge()
    wait_until(lambda: world.queued() == (0, 0) and bool(world.names("failures/")), 30, "a failure")
    assert world.names("failures/") == ["00000000.0.4"]
    assert not enclave.seen
    assert not world.names("answers/")


def test_a_chunk_that_came_before_is_asked_for_in_ranges(world: World, enclave: FakeEnclave) -> None:
    """The first time whole; then record by record, and one record that always takes the enclave along ends alone."""
    poison = 2

    def behave(work: Work) -> Message | None:
        if work.first <= poison < work.first + work.count:
            enclave.hang_up()
            return None
        return answer(work)

    enclave.behave = behave
    world.send(0)
    world.receive(ALONE - 1)
    world.bridge()
    wait_until(lambda: world.queued() == (0, 0), 60, "an empty queue")
    assert sorted(world.names("answers/")) == ["00000000.0.1", "00000000.1.1", "00000000.3.1"]
    assert world.names("failures/") == ["00000000.2.1"]
    assert [work.first for work in enclave.seen].count(poison) == GIVE_UP


def test_records_are_not_given_up_when_something_else_kills_the_enclave(world: World, enclave: FakeEnclave) -> None:
    """Seven innocents were `enclave_lost` under kills every two seconds: their messages had come eight times.

    Each record meets an enclave that is killed under it as often as a guilty one may, less one; the message came
    often before.
    """
    kills = dict.fromkeys(range(4), GIVE_UP - 1)

    def behave(work: Work) -> Message | None:
        if kills[work.first] > 0:
            kills[work.first] -= 1
            enclave.hang_up()
            return None
        return answer(work)

    enclave.behave = behave
    world.send(0)
    world.receive(30)
    world.bridge()
    wait_until(lambda: world.queued() == (0, 0), 60, "an empty queue")
    assert len(world.names("answers/")) == 4
    assert not world.names("failures/")


def test_a_second_delivery_is_asked_for_in_ranges_that_cover_it(world: World, enclave: FakeEnclave) -> None:
    """Each record once."""
    world.send(0)
    world.sqs.receive_message(QueueUrl=world.settings.queue_url, VisibilityTimeout=0)
    world.bridge()
    wait_until(lambda: world.queued() == (0, 0), what="an empty queue")
    assert sorted((work.first, work.count) for work in enclave.seen) == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert len(world.names("answers/")) == 4


def test_after_the_deadline_nothing_is_answered(world: World, enclave: FakeEnclave) -> None:
    """The message is deleted; the reader knows the deadline from the manifest."""
    world.send(0, deadline_ms=1)
    world.send(1)
    world.bridge()
    wait_until(lambda: world.queued() == (0, 0) and len(world.names("answers/")) == 1, what="an empty queue")
    assert [work.first for work in enclave.seen] == [4]
    assert not world.names("failures/")


def test_a_chunk_that_comes_before_its_time_waits_for_it(world: World, enclave: FakeEnclave) -> None:
    """It is put off until then, and that receipt does not count: it is asked for whole."""
    due = time.time_ns() // 1_000_000 + 3000
    world.send(0, not_before_ms=due)
    bridge = world.bridge()
    wait_until(lambda: world.names("answers/") == ["00000000.0.4"], 20, "the answer")
    assert time.time_ns() // 1_000_000 >= due
    # The wait until then is none of the queue's: only the second receipt has an age.
    assert bridge.metrics.registry.get_sample_value("sealbatch_queue_age_seconds_count") == 1
    assert [(work.first, work.count) for work in enclave.seen] == [(0, 4)]


def test_a_canceled_job_gets_no_more_answers(world: World, enclave: FakeEnclave) -> None:
    """What waits becomes a failure in the bridge's word; what is answered stays."""
    world.s3.put_object(Bucket="bucket", Key=ledger.mark_key(TENANT, JOB, ledger.Mark.CANCELED), Body=b"{}")
    world.s3.put_object(Bucket="bucket", Key=ledger.answer_key(TENANT, JOB, 0, 0, 1), Body=b"kept")
    world.send(0)
    world.bridge()
    wait_until(lambda: world.queued() == (0, 0) and bool(world.names("failures/")), what="a failure")
    assert world.names("failures/") == ["00000000.1.3"]
    assert world.names("answers/") == ["00000000.0.1"]
    assert not enclave.seen


def test_a_purged_job_is_forgotten(world: World, enclave: FakeEnclave) -> None:
    """Its messages go, and nothing new is written for it."""
    world.s3.put_object(Bucket="bucket", Key=ledger.mark_key(TENANT, JOB, ledger.Mark.PURGED), Body=b"{}")
    world.send(0)
    world.bridge()
    wait_until(lambda: world.queued() == (0, 0), what="an empty queue")
    assert not world.names("failures/")
    assert not enclave.seen


def test_health_and_metrics_tell_what_goes_on_and_name_nobody(world: World, enclave: FakeEnclave) -> None:
    """Counts by outcome, the age of messages, what is in flight; no tenant, no job, no content."""
    bridge = world.bridge()
    server = HealthServer("127.0.0.1", 0, bridge.metrics.registry, bridge.health)
    server.start()
    try:
        base = "http://{}:{}".format(*server.address)
        wait_until(lambda: bridge.health()[0], what="a connection")
        world.send(0)
        wait_until(lambda: world.queued() == (0, 0) and len(world.names("answers/")) == 1, what="an answer")
        with urllib.request.urlopen(f"{base}/healthz", timeout=10) as reply:  # noqa: S310 - ours
            states = {str(world.address): "ready"}
            assert json.load(reply) | {"loop_age": 0} == {"healthy": True, "enclaves": states, "loop_age": 0}
        with urllib.request.urlopen(f"{base}/metrics", timeout=10) as reply:  # noqa: S310 - ours
            text = reply.read().decode()
        assert 'sealbatch_records_total{outcome="answered"} 4.0' in text
        assert "sealbatch_queue_age_seconds_count 1.0" in text
        assert "sealbatch_in_flight 0.0" in text
        assert "sealbatch_credits 2.0" in text
        assert TENANT not in text
        assert JOB not in text
        enclave.stop()
        wait_until(lambda: not bridge.health()[0], what="the connection's end")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{base}/healthz", timeout=10)  # noqa: S310 - ours
    finally:
        server.stop()


@pytest.mark.parametrize("code", [RefusalCode.UNSEAL_FAILED, RefusalCode.MALFORMED, RefusalCode.KEY_INVALID])
def test_what_can_never_be_opened_becomes_a_failure(world: World, enclave: FakeEnclave, code: RefusalCode) -> None:
    """The job can end: the bridge says so in its own word, and deletes the message."""
    enclave.behave = lambda work: Refusal(work.ref, code)
    chunk = world.send(3)
    world.bridge()
    wait_until(lambda: world.queued() == (0, 0) and bool(world.names("failures/")), what="a failure")
    body = world.body(ledger.failure_key(TENANT, JOB, 3, chunk.first, chunk.count))
    assert ledger.parse_failure(body).code == "decrypt_failed"
    assert not world.names("answers/")


@pytest.mark.parametrize("code", [RefusalCode.KEY_DENIED, RefusalCode.WRONG_IMAGE])
def test_a_refused_image_stops_the_receiving_and_is_said(world: World, enclave: FakeEnclave, code: RefusalCode) -> None:
    """A notice names image and key; one chunk at a time is tried until the policy is mended; then all goes on."""
    denied = threading.Event()
    denied.set()
    enclave.behave = lambda work: Refusal(work.ref, code) if denied.is_set() else answer(work)
    for chunk in range(5):
        world.send(chunk)
    world.bridge()
    wait_until(lambda: world.names("notice") == ["notice"], what="a notice")
    notice = ledger.parse_notice(world.body(ledger.notice_key(TENANT, JOB)))
    assert (notice.code, notice.image, notice.key_arn) == (str(code), IMAGE, KEY)
    tried = len(enclave.seen)
    wait_until(lambda: len(enclave.seen) > tried, what="a trial")
    denied.clear()
    wait_until(lambda: world.answered() == 20 and world.queued() == (0, 0), 30, what="five answers")


def test_a_passing_refusal_gives_the_message_back(world: World, enclave: FakeEnclave) -> None:
    """Nothing is stored and nothing deleted."""
    enclave.behave = lambda work: Refusal(work.ref, RefusalCode.INTERNAL)
    world.send(0)
    bridge = world.bridge()
    wait_until(lambda: bool(enclave.seen) and not bridge._registry.all(), what="the chunk given back")
    assert sum(world.queued()) == 1
    assert not world.names("answers/")
    assert not world.names("failures/")


def test_an_answer_that_cannot_be_stored_keeps_its_message(world: World, enclave: FakeEnclave) -> None:
    """Deleting comes after the answer is durable, and never without."""
    world.send(0)
    world.s3 = _Refusing(world.s3)
    bridge = world.bridge()
    wait_until(lambda: bool(enclave.seen) and not bridge._registry.all(), what="the chunk given back")
    assert sum(world.queued()) == 1


class _Refusing:
    """S3 whose puts fail."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def put_object(self, **_: Any) -> Any:
        """503."""
        error = {"Error": {"Code": "SlowDown", "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
        raise ClientError(error, "PutObject")  # type: ignore[arg-type]


def test_stopping_waits_for_running_chunks_and_gives_the_others_back(world: World, enclave: FakeEnclave) -> None:
    """What the enclave has is finished within the grace; what was not started is visible again."""
    enclave.behave = lambda _: None
    for chunk in range(3):
        world.send(chunk)
    bridge = world.bridge()
    wait_until(lambda: len(enclave.seen) == 2, what="two chunks with the enclave")
    bridge.stop()
    enclave.say(answer(enclave.seen[0]))
    enclave.say(answer(enclave.seen[1]))
    world.stop()
    assert len(world.names("answers/")) == 2
    assert world.queued() == (1, 0)


def test_stopping_twice_does_not_wait(world: World, enclave: FakeEnclave) -> None:
    """A chunk that the enclave does not finish is given back at once."""
    enclave.behave = lambda _: None
    world.send(0)
    bridge = world.bridge(grace=600.0)
    wait_until(lambda: bool(enclave.seen), what="work")
    bridge.stop()
    bridge.stop()
    world.stop()
    assert world.queued() == (1, 0)


def test_two_enclaves_share_the_chunks(world: World, enclave: FakeEnclave) -> None:
    """More than one address makes a pool; a full one does not hold up the other."""
    other = FakeEnclave(Address.parse(str(world.address).removesuffix(".sock") + "-2.sock"))
    enclave.behave = other.behave = lambda _: None
    bridge = world.bridge(enclaves=(world.address, other.address))
    wait_until(lambda: bridge._pool.window() == 4, what="both connections")
    for chunk in range(6):
        world.send(chunk)
    wait_until(lambda: len(enclave.seen) == len(other.seen) == 2, what="both windows full")
    other.behave = answer
    for work in list(other.seen):
        other.say(answer(work))
    wait_until(lambda: len(world.names("answers/")) == 4, what="four answers of one enclave")
    assert (len(enclave.seen), len(other.seen)) == (2, 4)
    world.running[0][0].stop()
    for work in list(enclave.seen):
        enclave.say(answer(work))
    world.stop()
    other.stop()


UNWRAP = Unwrap(7, KEY, (("sealbatch:job", JOB),), b"wrapped", b"document")


def test_the_courier_carries_document_and_reply(world: World) -> None:
    """KMS is asked with the enclave's document, and its reply goes back untouched."""
    enclave = FakeEnclave(world.address, unwrap=UNWRAP)
    world.bridge()
    wait_until(lambda: bool(enclave.replies), what="a reply")
    assert enclave.replies == [Unwrapped(7, b"cms")]
    assert world.kms.asked[0]["Recipient"] == {
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
        "AttestationDocument": b"document",
    }
    assert world.kms.asked[0]["EncryptionContext"] == {"sealbatch:job": JOB}
    world.stop()
    enclave.stop()


def denied(code: str) -> ClientError:
    """KMS's error of that code."""
    return ClientError({"Error": {"Code": code, "Message": "words that may quote"}}, "Decrypt")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ({"KeyId": KEY, "CiphertextForRecipient": b"cms", "Plaintext": b"k" * 32}, UnwrapCode.UNAVAILABLE),
        ({"message": "a body that was cut off"}, UnwrapCode.UNAVAILABLE),
        ({"KeyId": KEY, "Plaintext": b""}, UnwrapCode.UNAVAILABLE),
        ({"KeyId": KEY.replace("0a", "0b"), "CiphertextForRecipient": b"cms"}, UnwrapCode.UNAVAILABLE),
        ({"KeyId": KEY, "CiphertextForRecipient": bytes(5000)}, UnwrapCode.UNAVAILABLE),
        (denied("AccessDeniedException"), UnwrapCode.DENIED),
        (denied("InvalidCiphertextException"), UnwrapCode.INVALID),
        (denied("ThrottlingException"), UnwrapCode.UNAVAILABLE),
        (denied("ExpiredTokenException"), UnwrapCode.UNAVAILABLE),
        (denied("ValidationException"), UnwrapCode.UNAVAILABLE),
        (denied("a code that may quote"), UnwrapCode.UNAVAILABLE),
        (denied("DisabledException"), UnwrapCode.DENIED),
        (denied("NotFoundException"), UnwrapCode.DENIED),
        (EndpointConnectionError(endpoint_url="http://may.quote"), UnwrapCode.UNAVAILABLE),
    ],
)
def test_a_reply_that_must_not_be_passed_on_is_not(
    world: World, reply: dict[str, Any] | Exception, code: UnwrapCode, caplog: pytest.LogCaptureFixture
) -> None:
    """A plaintext key, a foreign key and errors become codes; no word of KMS's error is logged."""
    world.kms.reply = reply
    enclave = FakeEnclave(world.address, unwrap=UNWRAP)
    world.bridge()
    wait_until(lambda: bool(enclave.replies), what="a reply")
    assert enclave.replies == [UnwrapRefused(7, code)]
    assert "quote" not in caplog.text
    assert "k" * 32 not in caplog.text
    world.stop()
    enclave.stop()


def test_the_courier_serves_the_questions_key_alone(world: World) -> None:
    """An enclave that asked for another key would be turned away before KMS hears of it."""
    enclave = FakeEnclave(world.address, unwrap=replace(UNWRAP, key_arn=KEY.replace("0a", "0b")))
    world.bridge()
    wait_until(lambda: bool(enclave.replies), what="a reply")
    assert enclave.replies == [UnwrapRefused(7, UnwrapCode.DENIED)]
    assert not world.kms.asked
    world.stop()
    enclave.stop()


def test_logs_hold_no_sealed_bytes(world: World, enclave: FakeEnclave, caplog: pytest.LogCaptureFixture) -> None:
    """Ids, counts and codes only."""
    caplog.set_level("DEBUG", logger="sealbatch")
    world.send(0)
    world.bridge()
    wait_until(lambda: world.queued() == (0, 0) and len(world.names("answers/")) == 1, what="an answer")
    assert "chunk answered job=abcdefghijklmnop chunk=0 first=0 n=4" in caplog.text
    assert "sealed questions" not in caplog.text
    assert json.dumps("answer to") not in caplog.text
    assert enclave.seen == [Work(1, 0, 4, b"sealed questions 0")]
