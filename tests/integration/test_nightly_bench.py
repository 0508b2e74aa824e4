"""What the bench of the nights measures with: a stand-in that forgets, and the count of what processes use."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from job_factory import client

from devstack.part import Part, endpoint_of
from devstack.usage import usage


@pytest.fixture(scope="module")
def endpoint(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A sink in front of moto."""
    folder = tmp_path_factory.mktemp("sink")
    place = folder / "place.json"
    sink = Part("sink", ("-m", "devstack.sink", "--upstream", moto, "--place", str(place)), folder / "log")
    try:
        yield endpoint_of(sink, place)
    finally:
        sink.stop(5)


def test_a_sealed_chunk_is_taken_once_and_forgotten(endpoint: str) -> None:
    """As S3 refuses what must not be there yet; whatever else is put is kept by moto."""
    s3: Any = client(endpoint, "s3")
    s3.create_bucket(Bucket="sink", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    chunk = {"Bucket": "sink", "Key": "benefits/job/questions/00000001", "Body": b"sealed", "IfNoneMatch": "*"}
    s3.put_object(**chunk)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(**chunk)
    s3.put_object(**chunk | {"Key": "benefits/job/manifest"})
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="sink")["Contents"]] == ["benefits/job/manifest"]
    assert s3.get_object(Bucket="sink", Key="benefits/job/manifest")["Body"].read() == b"sealed"


def test_messages_are_acknowledged_and_forgotten(endpoint: str) -> None:
    """Each by the MD5 of its body; the queue itself is moto's, and empty."""
    sqs: Any = client(endpoint, "sqs")
    url = sqs.create_queue(QueueName="sink")["QueueUrl"]
    entries = [{"Id": str(number), "MessageBody": f"body {number}"} for number in range(10)]
    taken = sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
    assert [one["Id"] for one in taken] == [one["Id"] for one in entries]
    assert taken[1]["MD5OfMessageBody"] == hashlib.md5(b"body 1", usedforsecurity=False).hexdigest()
    names = ["ApproximateNumberOfMessages"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]] == "0"


def test_what_children_use_is_counted_also_when_they_have_ended() -> None:
    """Processor time of all together, the memory of the largest."""
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    before = usage(os.getpid())
    assert before.peak > 10
    subprocess.run([sys.executable, "-c", burn], check=True)
    ended = usage(os.getpid())
    assert ended.cpu - before.cpu >= 0.25
    hold = f"{burn}\nkept = b'x' * 400_000_000\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        living = usage(os.getpid())
        assert living.cpu - ended.cpu >= 0.25
        assert living.peak > 380
        child.communicate(b"\n")


def test_a_process_that_is_gone_used_nothing(tmp_path: Path) -> None:
    """It is no reason to fail."""
    assert usage(2**22 + 1).cpu == 0
