"""The queue: receive, extend, give back, delete. The one place that talks to SQS."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from vsock_bridge.clients import SqsClient
from vsock_bridge.dead_letters import encode_dead_letter
from vsock_bridge.held import Held, HeldRegistry
from vsock_bridge.metrics import Metrics
from vsock_bridge.reasons import advice, reason
from vsock_bridge.settings import HOLD
from wire.errors import LedgerError
from wire.ledger import ChunkMessage, parse_chunk_message

BATCH: Final = 10
"""Most messages of one SQS call."""

_log = logging.getLogger("sealbatch.vsock_bridge")


class ChunkQueue:
    """One SQS queue of chunk messages."""

    def __init__(
        self,
        sqs: SqsClient,
        url: str,
        registry: HeldRegistry,
        metrics: Metrics,
        *,
        visibility: int,
        wait: int,
        dead_letters: str | None = None,
    ) -> None:
        self._sqs = sqs
        self._url = url
        self._registry = registry
        self._metrics = metrics
        self._visibility = visibility
        self._wait = wait
        self._dead_letters = dead_letters

    def receive(self, most: int) -> list[Held]:
        """Up to `most` chunks, after a long poll if none is there; they are held from now on.

        A message that is none of ours goes to the dead-letter queue: the reason, and nothing of what it holds. Where no
        such queue is configured it stays where it is, and SQS moves it there after enough receipts.

        Raises:
            ClientError, BotoCoreError: SQS or the network does not answer.
        """
        reply = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(most, BATCH),
            WaitTimeSeconds=self._wait,
            VisibilityTimeout=self._visibility,
            AttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
        )
        received: list[Held] = []
        for message in reply.get("Messages", ()):
            try:
                chunk = parse_chunk_message(message["Body"])
            except LedgerError as error:
                _log.error(
                    "message undecodable message_id=%s reason=%s: nobody of ours wrote it; see who may send to the "
                    "queue, and `sealbatch dlq ls`",
                    message["MessageId"],
                    error,
                )
                self._metrics.messages.labels("undecodable").inc()
                self._bury(message, str(error))
                continue
            now = self._registry.clock()
            attributes = message.get("Attributes", {})
            sent_ms = int(attributes.get("SentTimestamp", "0"))
            receives = _receives(chunk, int(attributes.get("ApproximateReceiveCount", "1")), sent_ms)
            self._metrics.received(time.time() - max(sent_ms, chunk.not_before_ms or 0) / 1000, receives)
            held = Held(message["MessageId"], message["ReceiptHandle"], receives, chunk, now, now)
            self._registry.add(held)
            received.append(held)
        return received

    def delete(self, held: Held) -> None:
        """Delete a message whose records all have an outcome that is durable, or a deadline that has passed."""
        if self._registry.remove(held):
            self._delete(held.message_id, held.receipt)

    def give_back(self, held: Held, delay: int = 0) -> None:
        """Let the message be received again after `delay` seconds."""
        if self._registry.remove(held):
            self._change([held], delay)

    def extend(self, messages: Sequence[Held]) -> None:
        """Keep messages invisible for another while."""
        for start in range(0, len(messages), BATCH):
            self._change(messages[start : start + BATCH], self._visibility)

    def _bury(self, message: Mapping[str, Any], why: str) -> None:
        if self._dead_letters is None:
            return
        body = encode_dead_letter(message["Body"], why)
        try:
            self._sqs.send_message(QueueUrl=self._dead_letters, MessageBody=body)
        except (ClientError, BotoCoreError) as error:
            self._metrics.faults.labels("sqs").inc()
            _log.warning(
                "not moved to the dead letters message_id=%s error=%s: it stays in the queue and comes again; %s",
                message["MessageId"],
                reason(error),
                advice(error),
            )
            return
        self._delete(message["MessageId"], message["ReceiptHandle"])

    def _delete(self, message_id: str, receipt: str) -> None:
        """The only call of DeleteMessage there is."""
        try:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)
        except (ClientError, BotoCoreError) as error:
            # It comes again, finds its answer in S3 and is deleted then.
            self._metrics.faults.labels("sqs").inc()
            _log.warning(
                "message not deleted message_id=%s error=%s: it is settled, comes again and is deleted then; %s",
                message_id,
                reason(error),
                advice(error),
            )

    def _change(self, messages: Sequence[Held], seconds: int) -> None:
        entries = [
            {"Id": str(n), "ReceiptHandle": held.receipt, "VisibilityTimeout": seconds}
            for n, held in enumerate(messages)
        ]
        try:
            reply = self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
        except (ClientError, BotoCoreError) as error:
            # Nothing is lost: the message becomes visible by itself when its time is up.
            self._metrics.faults.labels("sqs").inc()
            _log.warning(
                "visibility not changed n=%d error=%s: messages may come a second time, and lose nothing; %s",
                len(entries),
                reason(error),
                advice(error),
            )
            return
        for failed in reply.get("Failed", ()):
            held = messages[int(failed["Id"])]
            _log.warning(
                "visibility not changed message_id=%s code=%s: it may come a second time, and loses nothing",
                held.message_id,
                failed.get("Code"),
            )


def _receives(chunk: ChunkMessage, receives: int, sent_ms: int) -> int:
    """How often the chunk was received to be answered: not those times that it came before its time."""
    if chunk.not_before_ms is None:
        return receives
    early = -(-max(0, chunk.not_before_ms - sent_ms) // (HOLD * 1000))
    return max(1, receives - early)
