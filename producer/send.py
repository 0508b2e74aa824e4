"""Sends a job's chunks to the queue in batches, and again what SQS did not take."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

from aws_errors.mapped import clean_code, mapped
from aws_errors.service_error import ServiceError, ServiceKind
from producer.clients import SqsClient
from producer.parallel import run_parallel
from wire.ledger import ChunkMessage

BATCH_MESSAGES: Final = 10
BATCH_BYTES: Final = 1024 * 1024
"""SQS's limits for one SendMessageBatch."""
ATTEMPTS: Final = 6
"""How often a message is offered that SQS left out of a batch which it took otherwise: the call itself went well."""
SENDERS: Final = 8
FIRST_PAUSE: Final = 0.2
MAX_PAUSE: Final = 5.0
"""Seconds at most between two attempts, doubling from the first to the longest, with full jitter."""

Entry = dict[str, Any]


def send_all(sqs: SqsClient, queue_url: str, messages: Iterable[ChunkMessage], sent: Callable[[int], None]) -> None:
    """Send all messages; `sent` is told the number of messages in each batch once SQS has it.

    Raises:
        ServiceError: a batch could not be sent. More may be in the queue than `sent` was told.
    """
    run_parallel(partial(_send_batch, sqs, queue_url), batches(messages), sent, SENDERS)


def _send_batch(sqs: SqsClient, queue_url: str, bodies: list[str]) -> int:
    entries: list[Entry] = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies)]
    code = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(random.uniform(0.0, min(FIRST_PAUSE * 2**attempt, MAX_PAUSE)))
        with mapped("SQS", "SendMessageBatch", queue_url):
            reply = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        failed = {failure["Id"]: failure for failure in reply.get("Failed", [])}
        if not failed:
            return len(bodies)
        code = clean_code(next(iter(failed.values())).get("Code"))
        if any(failure.get("SenderFault") for failure in failed.values()):
            raise ServiceError(ServiceKind.INVALID, "SQS", "SendMessageBatch", queue_url, code=code)
        entries = [entry for entry in entries if entry["Id"] in failed]
    raise ServiceError(ServiceKind.UNAVAILABLE, "SQS", "SendMessageBatch", queue_url, code=code)


def batches(messages: Iterable[ChunkMessage]) -> Iterator[list[str]]:
    """The messages' bodies in order, cut to SQS's limits of one call."""
    batch: list[str] = []
    size = 0
    for message in messages:
        body = message.encode()
        if batch and (len(batch) == BATCH_MESSAGES or size + len(body) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield batch
