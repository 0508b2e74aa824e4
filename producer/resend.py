"""Sends the messages of chunks again whose sealed questions lie in the bucket: the queue forgets, the bucket does not.

A chunk that is sent twice is answered twice and counted once, so this errs on the side of sending.
"""

from collections.abc import Iterable
from typing import Final

from aws_errors.mapped import mapped
from producer.clients import SqsClient
from producer.published import Published
from producer.send import send_all
from wire.manifest import ChunkEntry

DEPTHS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
RETENTION: Final = "MessageRetentionPeriod"
LONGEST_RETENTION: Final = 1_209_600
"""Seconds that SQS keeps a message at most."""


def may_be_queued(sqs: SqsClient, queue_url: str, sent_ms: int, now_ms: int) -> bool:
    """Whether a message of `sent_ms` could still be in the queue: it is not empty, and that was not long ago.

    Raises:
        ServiceError: SQS does not answer.
    """
    with mapped("SQS", "GetQueueAttributes", queue_url):
        reply = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=[*DEPTHS, RETENTION])
    found = reply["Attributes"]
    young = now_ms - sent_ms < 1000 * int(found.get(RETENTION, LONGEST_RETENTION))
    return young and any(int(found.get(name, 0)) for name in DEPTHS)


def resend(sqs: SqsClient, queue_url: str, job: Published, entries: Iterable[ChunkEntry]) -> int:
    """Send the messages of `entries`; how many were sent.

    Raises:
        ServiceError: SQS did not take them all.
    """
    sent = 0

    def count(number: int) -> None:
        nonlocal sent
        sent += number

    send_all(sqs, queue_url, map(job.message, entries), count)
    return sent
