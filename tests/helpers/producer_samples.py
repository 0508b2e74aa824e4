"""A tenant's settings, inputs, and a moto server with the keys, bucket and queue of a producer."""

import io
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import boto3
from botocore.config import Config

from producer.clients import Clients
from producer.forms import InputForm
from producer.problem import Problem
from producer.questions import read_records
from producer.settings import ProducerSettings
from wire.payload import Params, Record

REGION = "eu-central-1"
SETTINGS = ProducerSettings(
    tenant="benefits",
    bucket="sealed",
    queue_url="http://127.0.0.1/123456789012/chunks",
    question_key="arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000a",
    answer_key="arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000b",
    image="0123456789abcdef" * 6,
)
JSONL = InputForm("jsonl")
CSV = InputForm("csv")


def short(custom_id: str, question: str = "How many days?", **fields: object) -> bytes:
    """A line of the short form."""
    return json.dumps({"custom_id": custom_id, "question": question, **fields}).encode() + b"\n"


def openai(custom_id: str = "case-1", content: object = "How many days?", **body: object) -> bytes:
    """A line of OpenAI's form; `body` adds to the body's fields."""
    fields = {"messages": [{"role": "user", "content": content}], **body}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": fields}
    return json.dumps(line).encode() + b"\n"


def read(
    data: bytes, form: InputForm = JSONL, defaults: Params | None = None, **options: Any
) -> list[Record | Problem]:
    """All that `read_records` makes of `data`."""
    return list(read_records(io.BytesIO(data), form, defaults or Params(), **options))


def many(number: int) -> bytes:
    """That many lines of the short form."""
    return b"".join(short(f"case-{at}", f"How long is leave {at}?") for at in range(number))


@dataclass(frozen=True)
class Aws:
    """What a producer needs of AWS, on a moto server; `kms`, `s3` and `sqs` are `clients` untyped."""

    settings: ProducerSettings
    clients: Clients
    kms: Any
    s3: Any
    sqs: Any

    def keys(self) -> list[str]:
        """The names of all objects in the bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.settings.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def body(self, key: str) -> bytes:
        """An object's bytes."""
        data: bytes = self.s3.get_object(Bucket=self.settings.bucket, Key=key)["Body"].read()
        return data

    def messages(self) -> list[str]:
        """The bodies of all messages in the queue, which stay hidden from then on."""
        bodies: list[str] = []
        while found := self.sqs.receive_message(QueueUrl=self.settings.queue_url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            bodies += [message["Body"] for message in found]
        return bodies


@contextmanager
def moto_clients(endpoint: str) -> Iterator[Clients]:
    """Plain clients of boto3's."""
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=REGION)
    config = Config(retries={"mode": "standard", "max_attempts": 2}, max_pool_connections=32)
    kms, s3, sqs = (session.client(name, endpoint_url=endpoint, config=config) for name in ("kms", "s3", "sqs"))
    try:
        yield Clients(kms, s3, sqs)
    finally:
        for client in (kms, s3, sqs):
            client.close()


def make_aws(clients: Clients) -> Aws:
    """Keys, a bucket and a queue that no other test has: all servers of a process share moto's state."""
    kms: Any = clients.kms
    s3: Any = clients.s3
    sqs: Any = clients.sqs
    name = f"sealed-{secrets.token_hex(8)}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    settings = replace(
        SETTINGS,
        bucket=name,
        queue_url=sqs.create_queue(QueueName=name)["QueueUrl"],
        question_key=kms.create_key()["KeyMetadata"]["Arn"],
        answer_key=kms.create_key()["KeyMetadata"]["Arn"],
    )
    return Aws(settings, clients, kms, s3, sqs)
