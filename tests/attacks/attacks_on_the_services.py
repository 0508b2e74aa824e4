"""What a parent can do between the real bridge, or the reader, and queue, bucket and KMS; and with outcomes of its own.

On the parent it ends TLS wherever it likes, so requests and replies are changed as bytes.
"""

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from attacks_on_the_wire import QUESTIONS
from fault_proxy import Request
from hostile import Accepted, Stage, Verdict, VictimJob
from registry import attack

from producer.published import open_published
from producer.resend import resend
from producer.store import JobStore
from results_consumer.errors import Check
from wire import ledger
from wire.manifest import Parameters

HOUR = 3_600_000
"""Milliseconds."""


def carried(stage: Stage, records: int, chunk: int, told: int | None = None) -> VictimJob:
    """A job that the bridge has carried until so many records, or all, have an object that is about them."""
    truth = stage.baseline(QUESTIONS)
    job = stage.submit(questions=QUESTIONS[:records], chunk=chunk)
    job.honest = truth[:records]
    stage.way_until(lambda: stage.told(job) >= (records if told is None else told), "the last outcome")
    return job


def delivered(stage: Stage, change: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """Have `change` done to the fields of every message that the queue delivers; the messages as they were."""
    seen: list[dict[str, Any]] = []

    def alter(request: Request, reply: bytes) -> bytes:
        if request.operation != "ReceiveMessage" or b"Messages" not in reply:
            return reply
        value = json.loads(reply)
        for message in value["Messages"]:
            fields = json.loads(message["Body"])
            seen.append(dict(fields))
            change(fields)
            message["Body"] = json.dumps(fields)
            message["MD5OfBody"] = hashlib.md5(message["Body"].encode(), usedforsecurity=False).hexdigest()
        return json.dumps(value).encode()

    stage.way().proxy.alter_reply = alter
    return seen


# The queue


@attack("ask for fewer records than a message says")
def fewer(stage: Stage) -> Verdict:
    """The bridge asks for one record of two, and takes the chunk for done."""
    delivered(stage, lambda fields: fields.update(count=1))
    return stage.unfinished(carried(stage, 4, 2, told=2))


@attack("deliver one message of the queue in another's place")
def other_message(stage: Stage) -> Verdict:
    """The second is deleted for what the first one asked."""
    first: dict[str, Any] = {}

    def change(fields: dict[str, Any]) -> None:
        first.update(first or fields)
        fields.update(first)

    seen = delivered(stage, change)
    stage.baseline(QUESTIONS)
    job = stage.submit(questions=QUESTIONS[:4])
    proxy = stage.way_proxy()
    before = proxy.seen["DeleteMessage"]
    stage.way_until(lambda: len(seen) == 2 and proxy.seen["DeleteMessage"] == before + 2, "the end of both messages")
    return stage.unfinished(job)


@attack("deliver every message of the queue twice")
def duplicates(stage: Stage) -> Verdict:
    """In one reply, under one receipt handle."""

    def alter(request: Request, reply: bytes) -> bytes:
        if request.operation != "ReceiveMessage" or b"Messages" not in reply:
            return reply
        value = json.loads(reply)
        value["Messages"] = [message for message in value["Messages"] for _ in range(2)]
        return json.dumps(value).encode()

    stage.way().proxy.alter_reply = alter
    return stage.no_effect(carried(stage, 4, 2), "answers of one range are one answer")


@attack("name another tenant in a message of the queue")
def other_tenant(stage: Stage) -> Verdict:
    """The true answers are stored as another tenant's."""
    delivered(stage, lambda fields: fields.update(tenant="pensions"))
    stage.baseline(QUESTIONS)
    job = stage.submit(questions=QUESTIONS[:2])
    theirs = f"pensions/{job.ticket.job}/"
    stage.way_until(lambda: stage.keys(f"{theirs}answers/"), "an answer in the other tenant's name")
    verdict = stage.unfinished(job)
    for key in stage.keys(job.key("")):
        stage.put(key.replace("benefits", "pensions", 1), stage.get(key))
    stage.reader_of(job, "pensions", Check.CONFIGURATION)
    return replace(verdict, caught=f"{verdict.caught}; the other tenant's reader: check 4 (configuration)")


@attack("put other questions into a message of the queue")
def other_questions(stage: Stage) -> Verdict:
    """A true chunk of another job, with its digest, under this job's name."""
    other = stage.submit(2).chunks()[0]

    def change(fields: dict[str, Any]) -> None:
        fields.update(
            digest=hashlib.sha256(other).hexdigest(), size=len(other), inline=base64.b64encode(other).decode()
        )

    delivered(stage, change)
    return stage.refused(carried(stage, 2, 2), Check.JOB)


# Outcomes of the parent's making


@attack("forge expired: a deadline that was never set")
def forged_deadline(stage: Stage) -> Verdict:
    """The bridge drops the chunk. The reader knows of no deadline; sent again, the chunk is answered."""
    seen = delivered(stage, lambda fields: fields.update(deadline_ms=1))
    proxy = stage.way_proxy()
    truth, deletes = stage.baseline(QUESTIONS), proxy.seen["DeleteMessage"]
    job = stage.submit(questions=QUESTIONS[:2])
    job.honest = truth[:2]
    stage.way_until(lambda: seen and proxy.seen["DeleteMessage"] > deletes, "the message's end")
    verdict = stage.unfinished(job)
    stage.way()
    store = JobStore(stage.producer.s3, stage.settings.bucket)
    published = open_published(store, job.tenant, job.ticket)
    resend(stage.producer.sqs, stage.settings.queue_url, published, published.entries())
    stage.way_until(lambda: stage.told(job) == 2, "the answer to what was sent again")
    stage.no_effect(job, "")
    return replace(verdict, caught="the manifest has the deadline")


@attack("forge expired: a note of the bridge's that says so")
def forged_note(stage: Stage) -> Verdict:
    """There is no such note: whether a job expired, the manifest and the reader's clock say."""
    job = stage.answered()
    stage.remove(job.answers()[0])
    note = json.dumps({"code": "expired", "at_ms": 1}).encode()
    stage.put(ledger.failure_key(job.tenant, job.ticket.job, 0, 0, 2), note)
    return stage.unfinished(job)


@attack("forge expired: hold true answers back beyond the deadline")
def held_back(stage: Stage) -> Verdict:
    """What is there counts, however late; what is not there is marked as nobody's word."""
    deadline = time.time_ns() // 1_000_000 + HOUR
    way, truth = stage.way(), stage.baseline(QUESTIONS)
    before = way.proxy.seen["DeleteMessage"]
    job = stage.submit(questions=QUESTIONS[:4], parameters=Parameters("", deadline))
    job.honest = truth[:4]
    way.until(lambda: way.proxy.seen["DeleteMessage"] == before + 2, "the end of both messages")
    late = stage.fetch(job, now_ms=deadline + HOUR)
    if late.answers != job.honest or late.summary.expired:
        raise Accepted("a true answer expired")
    stage.remove(job.answers()[1])
    return stage.unattested(job, 2, now_ms=deadline + HOUR)


@attack("forge canceled: mark a waiting job as canceled")
def forged_mark(stage: Stage) -> Verdict:
    """The bridge believes the mark, and says so in its own word."""
    stage.way()
    stage.baseline(QUESTIONS)
    mark: list[str] = []

    def change(fields: dict[str, Any]) -> None:
        if not mark:
            mark.append(ledger.mark_key(fields["tenant"], fields["job"], ledger.Mark.CANCELED))
            stage.put(mark[0], b"{}")

    delivered(stage, change)
    return stage.unattested(carried(stage, 2, 2), 2)


# The bucket, before the bridge


def instead(stage: Stage, operation: str, part: str, change: Callable[[bytes], bytes]) -> None:
    """Change the body of every object below `part` that the bridge gets or puts."""
    proxy = stage.way().proxy

    def matches(request: Request) -> bool:
        return request.operation == operation and part in request.path

    if operation == "GetObject":
        proxy.alter_reply = lambda request, reply: change(reply) if matches(request) else reply
    else:
        proxy.alter = lambda request: change(request.body) if matches(request) else request.body


@attack("extend an answer on its way to the bucket")
def extend_answer(stage: Stage) -> Verdict:
    """Bytes behind the receipt."""
    instead(stage, "PutObject", "/answers/", lambda body: body + bytes(64))
    return stage.refused(carried(stage, 2, 2), Check.OBJECT_FORM)


@attack("cut an answer on its way to the bucket")
def cut_answer(stage: Stage) -> Verdict:
    """Its last five hundred bytes."""
    instead(stage, "PutObject", "/answers/", lambda body: body[:-500])
    return stage.refused(carried(stage, 2, 2), Check.OBJECT_FORM)


@attack("swallow an answer on its way to the bucket")
def swallow_answer(stage: Stage) -> Verdict:
    """The bridge hears that all went well, and deletes the message."""
    way, swallowed = stage.way(), list[str]()
    stage.baseline(QUESTIONS)

    def alter(request: Request) -> bytes | None:
        if request.operation == "PutObject" and "/answers/00000000." in request.path:
            swallowed.append(request.path)
            return None
        return request.body

    way.proxy.alter = alter
    job = carried(stage, 4, 2, told=2)
    stage.way_until(lambda: swallowed, "the other answer")
    return stage.unfinished(job)


@attack("change sealed questions on their way to the bridge")
def change_questions(stage: Stage) -> Verdict:
    """In the message one bit, in the bucket a longer object: neither has the digest that the message names."""

    def change(fields: dict[str, Any]) -> None:
        inline = base64.b64decode(fields["inline"])
        fields["inline"] = base64.b64encode(inline[:-1] + bytes([inline[-1] ^ 1])).decode()

    delivered(stage, change)
    proxy = stage.way_proxy()
    of_queue = proxy.alter_reply
    proxy.alter_reply = lambda request, reply: (
        reply + b"\0"
        if request.operation == "GetObject" and "/questions/" in request.path
        else of_queue(request, reply)
    )
    return stage.unattested(carried(stage, 2, 2), 2)


@attack("change KMS's reply on its way to the bridge")
def change_kms(stage: Stage) -> Verdict:
    """One bit of what is encrypted for the enclave."""

    def alter(request: Request, reply: bytes) -> bytes:
        if request.operation != "Decrypt" or b"CiphertextForRecipient" not in reply:
            return reply
        value = json.loads(reply)
        sealed = bytearray(base64.b64decode(value["CiphertextForRecipient"]))
        sealed[-20] ^= 1
        return json.dumps(value | {"CiphertextForRecipient": base64.b64encode(sealed).decode()}).encode()

    stage.way().proxy.alter_reply = alter
    return stage.unattested(carried(stage, 2, 2), 2)


@attack("replay an older reply of KMS to the bridge")
def replay_kms(stage: Stage) -> Verdict:
    """The first reply serves for every later unwrap."""
    replies: list[bytes] = []

    def alter(request: Request, reply: bytes) -> bytes:
        if request.operation != "Decrypt" or b"CiphertextForRecipient" not in reply:
            return reply
        replies.append(reply)
        return replies[0]

    stage.way().proxy.alter_reply = alter
    first = carried(stage, 1, 1)
    stage.no_effect(first, "")
    return stage.unattested(carried(stage, 2, 2), 2)


# Before the reader


@contextmanager
def misled(stage: Stage, alter: Callable[[Request, bytes], bytes]) -> Iterator[None]:
    """The reader's S3 and KMS answer through the parent's hands."""
    way, config = stage.way(), stage.config
    stage.config = stage.load(way.config)
    way.proxy.alter_reply = alter
    try:
        yield
    finally:
        way.reset()
        stage.config = config


@attack("answer the reader with another object than it asked for")
def other_object(stage: Stage) -> Verdict:
    """A true answer of the same job, whatever answer it asks for."""
    job = stage.answered()
    body = stage.get(job.answers()[1])

    def alter(request: Request, reply: bytes) -> bytes:
        return body if request.operation == "GetObject" and "/answers/" in request.path else reply

    with misled(stage, alter):
        return stage.refused(job, Check.CHUNK)


@attack("hide an answer from the reader's list")
def hidden(stage: Stage) -> Verdict:
    """The object is there, and the list does not name it."""
    job = stage.answered()
    entry = re.compile(rb"<Contents>(?:(?!</Contents>).)*/answers/00000001(?:(?!</Contents>).)*</Contents>", re.DOTALL)
    with misled(stage, lambda _, reply: entry.sub(b"", reply)):
        return stage.unfinished(job)


@attack("change the manifest on its way to the reader")
def changed_manifest(stage: Stage) -> Verdict:
    """A bit of its last byte, which is of its HMAC."""
    job = stage.answered(2)

    def alter(request: Request, reply: bytes) -> bytes:
        return reply[:-1] + bytes([reply[-1] ^ 1]) if request.path.partition("?")[0].endswith("/manifest") else reply

    with misled(stage, alter):
        return stage.refused(job, Check.MANIFEST_DIGEST)


@attack("answer the reader in KMS's place")
def readers_kms(stage: Stage) -> Verdict:
    """With a key of the parent's."""
    job = stage.answered(2)

    def alter(request: Request, reply: bytes) -> bytes:
        if request.operation != "Decrypt":
            return reply
        return json.dumps(json.loads(reply) | {"Plaintext": base64.b64encode(bytes(32)).decode()}).encode()

    with misled(stage, alter):
        return stage.refused(job, Check.MANIFEST_HMAC)
