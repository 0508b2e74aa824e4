"""The dead-letter queue: what lies there, by reason, and the way back. Nothing of it is opened.

Two kinds lie there: chunks that SQS moved after too many receipts, whose bodies are chunk messages as they were sent;
and what the bridge put there in place of a message that was none of ours, with the reason and without the content.
"""

import hashlib
import json
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vsock_bridge.clients import SqsClient
from wire.errors import LedgerError
from wire.ledger import ChunkMessage, parse_chunk_message

VERSION: Final = 1
TOO_MANY_RECEIVES: Final = "too_many_receives"
UNDECODABLE: Final = "undecodable"
LOOK: Final = 300
"""Seconds for which a message that is looked at is hidden, so that one look sees each once."""
WAIT: Final = 1
"""Length of a poll in seconds: a long one asks all servers of SQS, and one without a wait only some of them."""
BATCH: Final = 10


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message: `chunk` if it can be sent again, else `why` it is none of ours."""

    message_id: str
    receipt: str
    sent_ms: int
    reason: str
    size: int
    sha256: str
    why: str
    chunk: ChunkMessage | None
    body: str


def encode_dead_letter(body: str, why: str) -> str:
    """What takes the place of a message that is none of ours: the reason, its size and its SHA-256."""
    data = body.encode("utf-8", "surrogatepass")
    fields = {
        "v": VERSION,
        "undecodable": why,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "at_ms": time.time_ns() // 1_000_000,
    }
    return json.dumps(fields, separators=(",", ":"), sort_keys=True)


class DeadLetters:
    """One dead-letter queue, and the queue that its chunks came from."""

    def __init__(self, sqs: SqsClient, url: str, home: str) -> None:
        self._sqs = sqs
        self._url = url
        self._home = home
        self._left: dict[str, str] = {}

    def look(self, most: int) -> Generator[DeadLetter]:
        """Up to `most` messages, each once. What was not taken out by the end of the look can be seen again then.

        Raises:
            ClientError, BotoCoreError: SQS or the network does not answer.
        """
        seen = 0
        self._left.clear()
        try:
            while seen < most and (letters := self._receive(min(BATCH, most - seen))):
                seen += len(letters)
                self._left.update((letter.message_id, letter.receipt) for letter in letters)
                yield from letters
        finally:
            for receipt in self._left.values():
                self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=0)

    def redrive(self, letter: DeadLetter) -> None:
        """Send a chunk to the queue that it came from, then take it out here; a second copy of it does no harm."""
        if letter.chunk is None:
            raise ValueError("nothing to send: the message was none of ours")
        self._sqs.send_message(QueueUrl=self._home, MessageBody=letter.body)
        self.drop(letter)

    def drop(self, letter: DeadLetter) -> None:
        """Take the message out for good. A chunk's questions stay in the bucket."""
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)
        self._left.pop(letter.message_id, None)

    def _receive(self, most: int) -> list[DeadLetter]:
        reply = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=most,
            VisibilityTimeout=LOOK,
            WaitTimeSeconds=WAIT,
            AttributeNames=["SentTimestamp"],
        )
        return [_letter(message) for message in reply.get("Messages", ())]


def _letter(message: Mapping[str, Any]) -> DeadLetter:
    body = message["Body"]
    data = body.encode("utf-8", "surrogatepass")
    reason, why, chunk = TOO_MANY_RECEIVES, "", None
    size, digest = len(data), hashlib.sha256(data).hexdigest()
    try:
        chunk = parse_chunk_message(body)
    except LedgerError as error:
        reason, why = UNDECODABLE, str(error)
        if (note := _note(body)) is not None:
            why, size, digest = note
    sent = int(message.get("Attributes", {}).get("SentTimestamp", "0"))
    return DeadLetter(message["MessageId"], message["ReceiptHandle"], sent, reason, size, digest, why, chunk, body)


def _note(body: str) -> tuple[str, int, str] | None:
    """What the bridge wrote in place of a message, if that is what lies there."""
    try:
        fields = json.loads(body)
        if set(fields) != {"v", "undecodable", "bytes", "sha256", "at_ms"}:
            return None
        return str(fields["undecodable"])[:200], int(fields["bytes"]), str(fields["sha256"])[:64]
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
