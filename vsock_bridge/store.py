"""S3 as the bridge uses it: sealed questions in; answers, each once, and notes in the bridge's own word out."""

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable
from typing import Final

from botocore.exceptions import ClientError

from aws_errors.mapped import error_code
from vsock_bridge.clients import S3Client
from wire import ledger
from wire.errors import LedgerError
from wire.ledger import AnswerName, ChunkMessage, Failure, Mark, Notice
from wire.messages import MAX_SEALED

MARK_LIFE: Final = 5.0
"""Seconds that a look at a job's marks is good for."""
MARKS: Final = 1024
"""Jobs whose marks are remembered."""

_log = logging.getLogger("sealbatch.vsock_bridge")


class ChunkMissingError(Exception):
    """A chunk's sealed questions are not in S3, or not those that its message names."""


class Store:
    """One bucket."""

    def __init__(
        self,
        s3: S3Client,
        bucket: str,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._now_ms = now_ms
        self._clock = clock
        self._marks: dict[tuple[str, str], tuple[float, Mark | None]] = {}

    def questions(self, chunk: ChunkMessage) -> bytes:
        """The chunk's sealed questions, out of its message or out of S3.

        Raises:
            ChunkMissingError: neither place has them.
            ClientError, BotoCoreError: S3 or the network does not answer.
        """
        if chunk.inline is not None and hashlib.sha256(chunk.inline).digest() == chunk.digest:
            return chunk.inline
        sealed = self._get(ledger.question_key(chunk.tenant, chunk.job, chunk.chunk), chunk.size)
        if sealed is None or hashlib.sha256(sealed).digest() != chunk.digest:
            raise ChunkMissingError
        return sealed

    def answers(self, chunk: ChunkMessage) -> list[AnswerName]:
        """What the bucket has about the chunk's records: names of answers and failures, none of them opened.

        Raises:
            ClientError, BotoCoreError: S3 or the network does not answer.
        """
        prefixes = (ledger.answer_prefix(chunk.tenant, chunk.job), ledger.failure_prefix(chunk.tenant, chunk.job))
        found: list[AnswerName] = []
        for prefix in prefixes:
            for name in self._names(f"{prefix}{chunk.chunk:08d}."):
                with contextlib.suppress(LedgerError):
                    found.append(ledger.parse_answer_name(name))
        return found

    def mark(self, chunk: ChunkMessage) -> Mark | None:
        """Whether the chunk's job was canceled or purged, as of some seconds ago.

        Raises:
            ClientError, BotoCoreError: S3 or the network does not answer.
        """
        job, now = (chunk.tenant, chunk.job), self._clock()
        if (known := self._marks.get(job)) is None or now - known[0] > MARK_LIFE:
            names = self._names(ledger.mark_prefix(*job))
            known = now, next((mark for mark in (Mark.PURGED, Mark.CANCELED) if mark in names), None)
            self._marks[job] = known
            while len(self._marks) > MARKS:
                self._marks.pop(next(iter(self._marks)), None)
        return known[1]

    def put_answer(self, chunk: ChunkMessage, sealed: bytes, first: int, count: int) -> None:
        """Make an answer durable at its key, or beside it when another object is there.

        Raises:
            ClientError, BotoCoreError: S3 or the network does not take it.
        """
        key = ledger.answer_key(chunk.tenant, chunk.job, chunk.chunk, first, count)
        if self._put_once(key, sealed):
            return
        there = self._get(key, MAX_SEALED)
        if there == sealed:
            # Our own put, whose response was lost and which was then repeated.
            return
        # Whether the other object is a true answer is for the reader to find out: the bridge cannot.
        _log.warning(
            "answer key taken job=%s chunk=%d: ours goes beside it, and the reader finds the true one; after a retry "
            "this is harmless, otherwise see who else writes to the bucket",
            chunk.job,
            chunk.chunk,
        )
        self._put_once(ledger.alternative(key, sealed), sealed)

    def put_failure(self, chunk: ChunkMessage, code: str, first: int, count: int) -> None:
        """Say, in the bridge's word, that records of the chunk will have no answer."""
        key = ledger.failure_key(chunk.tenant, chunk.job, chunk.chunk, first, count)
        self._put_once(key, ledger.encode_note(Failure(code, self._now_ms())))

    def put_notice(self, chunk: ChunkMessage, code: str, image: str, key_arn: str) -> None:
        """Say, in the bridge's word, why the chunk's job does not move."""
        body = ledger.encode_note(Notice(code, image, key_arn, self._now_ms()))
        self._s3.put_object(Bucket=self._bucket, Key=ledger.notice_key(chunk.tenant, chunk.job), Body=body)

    def _put_once(self, key: str, body: bytes) -> bool:
        """Put unless something is there; False if something is."""
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412:
                return False
            raise
        return True

    def _names(self, prefix: str) -> list[str]:
        """The last parts of the names that begin so; a chunk's are few, and one page is looked at."""
        page = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        return [str(item["Key"]).rpartition("/")[2] for item in page.get("Contents", ())]

    def _get(self, key: str, limit: int) -> bytes | None:
        """The object, or None if there is none or it has more than `limit` bytes."""
        try:
            reply = self._s3.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error_code(error) == "NoSuchKey":
                return None
            raise
        with reply["Body"] as stream:
            data: bytes = stream.read(limit + 1)
        return data if len(data) <= limit else None
