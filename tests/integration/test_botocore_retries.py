"""The three faults that botocore's own retries cause, against a real stand-in over HTTP: permanent fixtures.

A response that is lost after its request took effect makes botocore send the request again. So our own conditional
write is refused with 412, a message is in the queue twice, and a received message is in flight with nobody who knows
of it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from fake_enclave import FakeEnclave
from fault_proxy import FaultProxy, Kind, Rule
from waiting import wait_until

from producer.store import JobStore
from vsock_bridge.bridge import Bridge
from vsock_bridge.clients import Clients
from vsock_bridge.settings import BridgeSettings
from vsock_bridge.store import Store
from wire import ledger
from wire.address import Address
from wire.ledger import ChunkMessage

KEY = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000a"
JOB = "abcdefghijklmnop"
TENANT = "benefits"
SEALED = b"sealed questions"
CHUNK = ChunkMessage(TENANT, JOB, 0, 0, 4, hashlib.sha256(SEALED).digest(), len(SEALED), SEALED)
ANSWER = ledger.answer_key(TENANT, JOB, 0, 0, 4)


@dataclass
class World:
    """A stand-in behind a proxy; `s3` and `sqs` go through it with botocore's standard retries."""

    proxy: FaultProxy
    s3: Any
    sqs: Any
    queue_url: str

    def queued(self) -> tuple[int, int]:
        """Messages that wait, and messages in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def answers(self) -> list[str]:
        """Keys of the answers."""
        listed = self.s3.list_objects_v2(Bucket="retries", Prefix=ledger.answer_prefix(TENANT, JOB))
        return [item["Key"] for item in listed.get("Contents", ())]

    def answered(self) -> int:
        """Records that lie in answers; those of a chunk that was received before lie in several."""
        return sum(ledger.parse_answer_name(key.rpartition("/")[2]).count for key in self.answers())


@pytest.fixture
def world(moto: str) -> Iterator[World]:
    """A fresh bucket and queue behind a fresh proxy."""
    with FaultProxy(moto) as proxy:
        session = boto3.session.Session("testing", "testing", region_name="eu-central-1")
        options = Config(retries={"mode": "standard", "total_max_attempts": 3}, max_pool_connections=16)
        s3, sqs = (session.client(name, endpoint_url=proxy.endpoint, config=options) for name in ("s3", "sqs"))  # type: ignore[call-overload]
        s3.create_bucket(Bucket="retries", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        url = sqs.create_queue(QueueName="retries")["QueueUrl"]
        yield World(proxy, s3, sqs, url)
        for item in s3.list_objects_v2(Bucket="retries").get("Contents", ()):
            s3.delete_object(Bucket="retries", Key=item["Key"])
        s3.delete_bucket(Bucket="retries")
        sqs.delete_queue(QueueUrl=url)


def test_a_lost_response_refuses_our_own_conditional_write(world: World) -> None:
    """The fault itself: 412, and the object that is there is ours. Both stores take it for the success that it is."""
    world.proxy.rules = [Rule(Kind.DROP, "PutObject", times=1)]
    with pytest.raises(ClientError) as caught:
        world.s3.put_object(Bucket="retries", Key="mine", Body=b"x", IfNoneMatch="*")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    world.proxy.rules = [Rule(Kind.DROP, "PutObject", times=1)]
    Store(world.s3, "retries").put_answer(CHUNK, b"answer", CHUNK.first, CHUNK.count)
    assert world.answers() == [ANSWER]
    world.proxy.rules = [Rule(Kind.DROP, "PutObject", times=1)]
    JobStore(world.s3, "retries").put(ledger.manifest_key(TENANT, JOB), b"manifest")
    assert world.proxy.caused == {Kind.DROP: 3}


def test_a_lost_response_sends_a_message_twice(world: World, tmp_path: Path) -> None:
    """The fault itself: two copies. One answer comes of them, and both are deleted."""
    world.s3.put_object(Bucket="retries", Key=ledger.question_key(TENANT, JOB, 0), Body=SEALED)
    world.proxy.rules = [Rule(Kind.DROP, "SendMessage", times=1)]
    world.sqs.send_message(QueueUrl=world.queue_url, MessageBody=CHUNK.encode())
    assert world.queued() == (2, 0)
    with _bridge(world, tmp_path) as enclave:
        wait_until(lambda: world.queued() == (0, 0), what="an empty queue")
    assert world.answers() == [ANSWER]
    assert 1 <= len(enclave.seen) <= 2


def test_a_lost_response_orphans_a_receipt(world: World, tmp_path: Path) -> None:
    """The fault itself: a message in flight that nobody holds. It comes again when its visibility ends."""
    world.s3.put_object(Bucket="retries", Key=ledger.question_key(TENANT, JOB, 0), Body=SEALED)
    world.sqs.send_message(QueueUrl=world.queue_url, MessageBody=CHUNK.encode())
    world.proxy.rules = [Rule(Kind.DROP, "ReceiveMessage", times=1)]
    reply = world.sqs.receive_message(QueueUrl=world.queue_url, VisibilityTimeout=2)
    assert "Messages" not in reply
    assert world.queued() == (0, 1)
    with _bridge(world, tmp_path) as enclave:
        wait_until(lambda: world.answered() == CHUNK.count and world.queued() == (0, 0), 20, "the answers")
    assert sum(work.count for work in enclave.seen) == CHUNK.count


class _bridge:  # noqa: N801 - reads as a block
    """A bridge with a fake enclave for the length of a block."""

    def __init__(self, world: World, folder: Path) -> None:
        name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        address = Address.parse(f"unix:///tmp/sb-{name}.sock")
        self._enclave = FakeEnclave(address)
        settings = BridgeSettings(world.queue_url, "retries", KEY, (address,), visibility=5, wait=1, grace=5.0)
        self._bridge = Bridge(settings, Clients(_NoKms(), world.s3, world.sqs))

    def __enter__(self) -> FakeEnclave:
        import threading

        self._thread = threading.Thread(target=self._bridge.run)
        self._thread.start()
        return self._enclave

    def __exit__(self, *_: object) -> None:
        self._bridge.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._enclave.stop()


class _NoKms:
    """Nobody asks it."""

    def decrypt(self, **_: Any) -> Any:
        """Not here."""
        raise AssertionError
