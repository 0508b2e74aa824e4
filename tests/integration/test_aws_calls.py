"""Each fault of AWS, met once by every call of producer, bridge and reader: each goes on, and nothing is lost or twice.

The clients are those that the command makes; the faults come out of a proxy between them and a real stand-in.
"""

import hashlib
import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.endpoint
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from fake_enclave import FakeEnclave
from fault_proxy import FaultProxy, Kind, Rule
from job_factory import Aws as ReaderAws
from job_factory import make_job, parse_lines
from producer_samples import JSONL, Aws, make_aws, many, moto_clients
from receipt_factory import TRUST
from waiting import wait_until

from aws_errors.service_error import ServiceError, ServiceKind
from producer.clients import Clients as ProducerClients
from producer.lookup import Idempotency
from producer.submission import SubmitOptions
from producer.submit import submit
from results_consumer.fetch import fetch
from results_consumer.settings import ReaderSettings
from results_consumer.sink import FileSink
from sealbatch.aws.calls import ATTEMPTS
from sealbatch.aws.clients import Connector
from sealbatch.config import Config, Profiles, Resources
from vsock_bridge.bridge import Bridge
from vsock_bridge.clients import Clients as BridgeClients
from vsock_bridge.settings import BridgeSettings
from wire import ledger
from wire.address import Address
from wire.ledger import ChunkMessage, parse_chunk_message
from wire.payload import Params

BRIDGED = ["ReceiveMessage", "DeleteMessage", "ChangeMessageVisibilityBatch"]
LOST = [Kind.DROP, Kind.CUT, Kind.REFUSE, Kind.UNAVAILABLE, Kind.THROTTLE, Kind.DELAY]


class Naps:
    """The time module as botocore's endpoint sees it: it does not sleep, and remembers for how long it would have."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Go on at once."""
        self.taken.append(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@dataclass
class World:
    """A stand-in behind a proxy; `aws` goes straight to it, `client` through the proxy as the command does."""

    aws: Aws
    proxy: FaultProxy
    connector: Connector
    credentials: Path
    naps: Naps
    folder: Path

    def client(self, service: str) -> Any:
        """A client of the command's."""
        return self.connector.client(service)

    def fail_once(self, *kinds: Kind) -> None:
        """Each operation that anybody asks for meets each of these faults once, one after the other."""
        names = ("GetObject", "ListObjectsV2", "PutObject", "ListObjectVersions", "DeleteObjects", "GenerateDataKey")
        more = ("Decrypt", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibilityBatch")
        self.proxy.rules = [Rule(kind, name, times=1) for kind in kinds for name in (*names, *more)]


def write_credentials(path: Path, key: str) -> None:
    """What somebody keeps fresh."""
    path.write_text(f"[role]\naws_access_key_id = {key}\naws_secret_access_key = s\naws_session_token = t-{key}\n")


@pytest.fixture(scope="module")
def direct(moto: str) -> Iterator[ProducerClients]:
    """Clients without a proxy."""
    with moto_clients(moto) as found:
        yield found


@pytest.fixture
def world(direct: ProducerClients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A bucket, a queue and keys of its own, and a fresh proxy."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    naps = Naps()
    monkeypatch.setattr(botocore.endpoint, "time", naps)
    credentials = tmp_path / "credentials"
    write_credentials(credentials, "first")
    upstream = direct.s3.meta.endpoint_url  # type: ignore[attr-defined]
    with FaultProxy(upstream) as proxy:
        resources = Resources(
            region="eu-central-1",
            endpoint_url=proxy.endpoint,
            credentials_file=str(credentials),
            profiles=Profiles(producer="role"),
        )
        connector = Connector(Config(resources, "a test"), "role")
        yield World(make_aws(direct), proxy, connector, credentials, naps, tmp_path)


def produce(world: World) -> None:
    """Submit under a key: one job, and every chunk of it in the queue."""
    clients = ProducerClients(*(world.client(service) for service in ("kms", "s3", "sqs")))
    options = SubmitOptions(idempotency=Idempotency("key", b"s" * 32))
    for _ in range(2):
        made = submit(io.BytesIO(many(70)), JSONL, Params(), options, world.aws.settings, clients)
    world.proxy.rules = []
    sent = [parse_chunk_message(body) for body in world.aws.messages()]
    assert {message.job for message in sent} == {made.job}
    assert {message.chunk for message in sent} == {0, 1, 2}
    assert sum(key.endswith("/manifest") for key in sorted(world.aws.keys())) == 1


def read(world: World) -> None:
    """Fetch a job: every line, each once."""
    producer = world.aws.settings
    settings = ReaderSettings(producer.tenant, producer.bucket, producer.question_key, producer.answer_key, TRUST)
    made = make_job(ReaderAws(world.aws.s3, world.aws.kms, settings), 2, 3, 1)
    made.answer_all()
    fetch(world.client("s3"), world.client("kms"), settings, made.ticket, FileSink(world.folder / "out"))
    lines = parse_lines((world.folder / "out").read_bytes())
    assert [line["custom_id"] for line in lines] == [f"case-{number}" for number in range(6)]


def carry(world: World) -> None:
    """Bridge three chunks whose questions lie in the bucket: each answered, and the queue empty."""
    settings, job = world.aws.settings, "abcdefghijklmnop"
    for chunk in range(3):
        sealed = f"sealed questions {chunk}".encode()
        key = ledger.question_key(settings.tenant, job, chunk)
        world.aws.s3.put_object(Bucket=settings.bucket, Key=key, Body=sealed)
        digest = hashlib.sha256(sealed).digest()
        message = ChunkMessage(settings.tenant, job, chunk, 4 * chunk, 4, digest, len(sealed), None)
        world.aws.sqs.send_message(QueueUrl=settings.queue_url, MessageBody=message.encode())
    mark = hashlib.sha256(str(world.folder).encode()).hexdigest()[:12]
    address = Address.parse(f"unix:///tmp/sb-{mark}.sock")
    enclave = FakeEnclave(address)
    bridging = BridgeSettings(
        settings.queue_url, settings.bucket, settings.question_key, (address,), visibility=3, wait=1, grace=5.0
    )
    bridge = Bridge(bridging, BridgeClients(*(world.client(service) for service in ("kms", "s3", "sqs"))))
    running = threading.Thread(target=bridge.run)
    running.start()
    prefix = ledger.answer_prefix(settings.tenant, job)
    try:
        wait_until(lambda: answered(world, prefix) == 12, 60, "the answers")
        wait_until(lambda: waiting(world) == ["0", "0"], 60, "an empty queue")
    finally:
        bridge.stop()
        running.join(30)
        enclave.stop()
    assert not running.is_alive()


def answered(world: World, prefix: str) -> int:
    """Records that have an answer: once each, though it may come in parts or twice under one name."""
    keys: list[str] = [key for key in sorted(world.aws.keys()) if key.startswith(prefix)]
    names = [ledger.parse_answer_name(key.removeprefix(prefix)) for key in keys]
    return len({number for name in names for number in range(name.first, name.first + name.count)})


def waiting(world: World) -> list[str]:
    """Messages that wait, and messages in flight."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    reply = world.aws.sqs.get_queue_attributes(QueueUrl=world.aws.settings.queue_url, AttributeNames=names)
    return [reply["Attributes"][name] for name in names]


PROGRAMS = pytest.mark.parametrize("program", [produce, carry, read])


@pytest.mark.parametrize("program", [produce, read])
@pytest.mark.parametrize("kind", LOST)
def test_a_fault_in_every_call_is_passed_over(world: World, program: Callable[[World], None], kind: Kind) -> None:
    """Response lost, reply cut in the middle, connection refused, 503, throttled, delayed: once for each operation."""
    world.fail_once(kind)
    program(world)
    assert world.proxy.caused[kind] >= 2


@pytest.mark.parametrize(("program", "names"), [(carry, BRIDGED), (produce, ["GenerateDataKey", "SendMessageBatch"])])
def test_a_reply_that_cannot_be_read_is_no_reply(
    world: World, program: Callable[[World], None], names: list[str]
) -> None:
    """It ended the bridge with an error of the parser's that nothing expects; a wrong proxy may answer so, with 200."""
    world.proxy.rules = [Rule(Kind.JUNK, name, times=2) for name in names]
    program(world)
    assert world.proxy.caused[Kind.JUNK] >= 2


def test_all_faults_in_every_call_of_a_bridge_are_passed_over(world: World) -> None:
    """The same for a bridge, one after the other in the same call."""
    world.fail_once(*LOST)
    carry(world)
    assert all(world.proxy.caused[kind] >= 4 for kind in LOST)


@PROGRAMS
def test_credentials_that_expire_in_the_middle_are_read_again(world: World, program: Callable[[World], None]) -> None:
    """From some call on, AWS calls those expired that the file held at first; the file holds others by then."""
    world.client("s3").list_objects_v2(Bucket=world.aws.settings.bucket)
    write_credentials(world.credentials, "second")
    world.proxy.rules = [Rule(Kind.EXPIRED, signed_by="first")]
    program(world)
    assert 1 <= world.proxy.caused[Kind.EXPIRED] <= 8  # threads that had signed before the first one learned of it


@PROGRAMS
def test_a_write_conflict_is_tried_again(world: World, program: Callable[[World], None]) -> None:
    """409: somebody else wrote the same key at that moment."""
    world.proxy.rules = [Rule(Kind.CONFLICT, "PutObject", times=3)]
    program(world)
    assert world.proxy.caused[Kind.CONFLICT] == (0 if program is read else 3)


def test_credentials_that_nobody_renewed_are_an_error_at_once(world: World) -> None:
    """No loop: one call, one reading of the file, and the error that says what to do."""
    world.proxy.rules = [Rule(Kind.EXPIRED)]
    with pytest.raises(ServiceError) as caught:
        produce(world)
    assert caught.value.kind is ServiceKind.CREDENTIALS
    assert sum(world.proxy.seen.values()) == 1
    assert world.naps.taken == []


def test_a_service_that_stays_away_is_given_up_after_growing_pauses(world: World) -> None:
    """A number of attempts, each pause by chance out of a span that doubles, and never a hot loop."""
    world.proxy.rules = [Rule(Kind.THROTTLE)]
    spans = []
    for _ in range(3):
        world.naps.taken.clear()
        world.proxy.seen.clear()
        with pytest.raises(ClientError):
            world.client("s3").list_objects_v2(Bucket=world.aws.settings.bucket)
        assert sum(world.proxy.seen.values()) == ATTEMPTS
        assert len(world.naps.taken) == ATTEMPTS - 1
        assert all(0 <= nap <= min(20, 2.0**at) for at, nap in enumerate(world.naps.taken))
        spans.append(tuple(world.naps.taken))
    assert len(set(spans)) == 3


def test_a_body_that_is_cut_in_the_middle_is_read_to_its_end(world: World) -> None:
    """Of the same object: if another lies there meanwhile, its half is not put behind the first one's."""
    bucket, body = world.aws.settings.bucket, bytes(range(256)) * 1000
    world.aws.s3.put_object(Bucket=bucket, Key="large", Body=body)
    world.proxy.rules = [Rule(Kind.CUT, "GetObject", times=3)]
    assert world.client("s3").get_object(Bucket=bucket, Key="large")["Body"].read() == body
    assert world.proxy.seen["GetObject"] == 4
    world.proxy.rules = [Rule(Kind.CUT, "GetObject", times=1)]
    found = world.client("s3").get_object(Bucket=bucket, Key="large")["Body"]
    world.aws.s3.put_object(Bucket=bucket, Key="large", Body=body[::-1])
    with pytest.raises(BotoCoreError):
        found.read()


def test_a_clock_that_is_wrong_is_said_by_name(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Not as credentials to renew; how far it is off is said once, in one line, and nothing is tried again."""
    world.proxy.rules = [Rule(Kind.SKEW)]
    with pytest.raises(ServiceError) as producing:
        produce(world)
    with pytest.raises(ServiceError) as caught:
        read(world)
    assert producing.value.kind is ServiceKind.CLOCK
    assert caught.value.kind is ServiceKind.CLOCK
    for said in (str(producing.value), str(caught.value)):
        assert "this machine's clock is wrong" in said
        assert "RequestTimeTooSkewed" in said
    assert sum(world.proxy.seen.values()) == 2
    [line] = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "behind AWS's" in line.getMessage()


def test_a_signature_that_is_wrong_for_another_reason_is_no_clock(world: World) -> None:
    """A right clock and a wrong secret stay what they are."""
    world.proxy.rules = [Rule(Kind.SKEW)]
    connector = world.connector
    connector._calls._clock = lambda: 1_893_456_000.0  # the Date of the reply, 1 January 2030
    with pytest.raises(ClientError) as caught:
        connector.client("kms").describe_key(KeyId=world.aws.settings.question_key)
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"


def test_a_bridge_stops_in_time_although_the_queue_is_gone(world: World) -> None:
    """A receive is tried again for a few seconds only: its loop asks again, and sees in between that it is to stop."""
    calls = world.connector._calls
    times = iter([0.0, 4.0, 6.0, 8.0])
    calls._monotonic = lambda: next(times)
    world.proxy.rules = [Rule(Kind.REFUSE)]
    with pytest.raises(BotoCoreError):
        world.client("sqs").receive_message(QueueUrl=world.aws.settings.queue_url)
    assert world.proxy.seen["ReceiveMessage"] == 3
