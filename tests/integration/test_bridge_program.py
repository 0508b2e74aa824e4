"""The bridge as a process that is told to stop."""

import hashlib
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from fake_enclave import FakeEnclave, answer
from waiting import wait_until

from wire import ledger
from wire.address import Address
from wire.ledger import ChunkMessage

ROOT = Path(__file__).parents[2]
KEY = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000a"
JOB = "abcdefghijklmnop"


@dataclass
class World:
    """A queue with one chunk, a silent enclave, and a bridge process between them."""

    sqs: Any
    s3: Any
    url: str
    enclave: FakeEnclave
    process: subprocess.Popen[bytes]

    def queued(self) -> tuple[int, int]:
        """Messages that wait, and messages in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


@pytest.fixture
def world(moto: str, tmp_path: Path) -> Iterator[World]:
    """All of it, with the chunk already at the enclave."""
    session = boto3.session.Session("testing", "testing", region_name="eu-central-1")
    sqs, s3 = (session.client(name, endpoint_url=moto) for name in ("sqs", "s3"))  # type: ignore[call-overload]
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    # The receive of a bridge that was killed may still wait in the stand-in, and take a message of its queue with it.
    url = sqs.create_queue(QueueName=f"program-{secrets.token_hex(8)}")["QueueUrl"]
    message = ChunkMessage("benefits", JOB, 0, 0, 4, hashlib.sha256(b"sealed").digest(), 6, b"sealed")
    sqs.send_message(QueueUrl=url, MessageBody=message.encode())
    enclave = FakeEnclave(Address.parse(f"unix://{tmp_path}/e.sock"), behave=lambda _: None)
    arguments = [moto, url, KEY, str(enclave.address), str(tmp_path / "ready")]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "helpers" / "bridge_program.py"), *arguments], cwd=ROOT
    )
    try:
        wait_until(lambda: bool(enclave.seen), 30, what="the chunk at the enclave")
        assert (tmp_path / "ready").exists()
        yield World(sqs, s3, url, enclave, process)
    finally:
        process.kill()
        process.wait()
        enclave.stop()
        sqs.delete_queue(QueueUrl=url)
        for item in s3.list_objects_v2(Bucket="bucket").get("Contents", ()):
            s3.delete_object(Bucket="bucket", Key=item["Key"])
        s3.delete_bucket(Bucket="bucket")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_bridge_after_its_running_chunk(world: World, number: signal.Signals) -> None:
    """The long poll and the chunk are waited for, the answer is stored, the message deleted, the exit code 0."""
    world.process.send_signal(number)
    assert world.process.poll() is None
    world.enclave.say(answer(world.enclave.seen[0]))
    assert world.process.wait(40) == 0
    key = ledger.answer_key("benefits", JOB, 0, 0, 4)
    assert world.s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"answer to sealed"
    assert world.queued() == (0, 0)


def test_a_second_signal_gives_the_running_chunk_back(world: World) -> None:
    """An operator in a hurry loses nothing: the message is visible again, and the exit code is 0."""
    world.process.send_signal(signal.SIGTERM)
    world.process.send_signal(signal.SIGINT)
    assert world.process.wait(40) == 0
    assert world.queued() == (1, 0)
