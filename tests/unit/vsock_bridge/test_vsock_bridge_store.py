"""The store's conditional writes against a bucket that fails in chosen ways."""

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError

from vsock_bridge.store import ChunkMissingError, Store
from wire import ledger
from wire.ledger import ChunkMessage

CHUNK = ChunkMessage("benefits", "a" * 16, 3, 8, 4, bytes(32), 1, None)
KEY = ledger.answer_key("benefits", "a" * 16, 3, 8, 4)


def s3_error(code: str, status: int) -> ClientError:
    """S3's error."""
    reply = {"Error": {"Code": code, "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(reply, "PutObject")  # type: ignore[arg-type]


class Bucket:
    """Objects in memory; the scripted `faults` come first, each after the write when it is told so."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults: list[tuple[ClientError, bool]] = []
        self.puts = 0

    def put_object(self, **put: Any) -> None:
        """PutObject with If-None-Match."""
        self.puts += 1
        fault, written = self.faults.pop(0) if self.faults else (None, True)
        if put.get("IfNoneMatch") == "*" and put["Key"] in self.objects:
            raise s3_error("PreconditionFailed", 412)
        if written:
            self.objects[put["Key"]] = put["Body"]
        if fault is not None:
            raise fault

    def get_object(self, **get: Any) -> dict[str, Any]:
        """GetObject."""
        if get["Key"] not in self.objects:
            raise s3_error("NoSuchKey", 404)
        return {"Body": io.BytesIO(self.objects[get["Key"]])}


def test_a_conflict_that_does_not_end_is_an_error() -> None:
    """The chunk's message must then stay, so the caller hears of it; the client has tried again by then."""
    bucket = Bucket()
    bucket.faults = [(s3_error("ConditionalRequestConflict", 409), False)]
    with pytest.raises(ClientError):
        Store(bucket, "bucket").put_answer(CHUNK, b"answer", CHUNK.first, CHUNK.count)
    assert not bucket.objects


def test_a_put_whose_response_was_lost_is_found_done() -> None:
    """The repeated put meets its own object: nothing is written beside it."""
    bucket = Bucket()
    bucket.objects[KEY] = b"answer"
    Store(bucket, "bucket").put_answer(CHUNK, b"answer", CHUNK.first, CHUNK.count)
    assert bucket.objects == {KEY: b"answer"}


def test_an_answer_already_beside_a_foreign_object_is_done() -> None:
    """The second delivery of a displaced chunk adds nothing."""
    bucket = Bucket()
    bucket.objects[KEY] = b"foreign"
    store = Store(bucket, "bucket")
    store.put_answer(CHUNK, b"answer", CHUNK.first, CHUNK.count)
    store.put_answer(CHUNK, b"answer", CHUNK.first, CHUNK.count)
    assert bucket.objects == {KEY: b"foreign", ledger.alternative(KEY, b"answer"): b"answer"}


def test_the_first_failure_stays() -> None:
    """A failure is written once; a notice is the newest."""
    bucket = Bucket()
    times = iter([1, 2, 3, 4])
    store = Store(bucket, "bucket", lambda: next(times))
    for _ in range(2):
        store.put_failure(CHUNK, "decrypt_failed", CHUNK.first, CHUNK.count)
    image, arn = "ab" * 48, "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000a"
    for _ in range(2):
        store.put_notice(CHUNK, "key_denied", image, arn)
    failure = bucket.objects[ledger.failure_key("benefits", "a" * 16, 3, 8, 4)]
    assert ledger.parse_failure(failure).at_ms == 1
    assert ledger.parse_notice(bucket.objects[ledger.notice_key("benefits", "a" * 16)]).at_ms == 4


@pytest.mark.parametrize("there", [b"", b"other", b"longer than the message says"])
def test_questions_are_those_of_the_message_or_missing(there: bytes) -> None:
    """Size and digest are checked before an enclave sees anything."""
    bucket = Bucket()
    bucket.objects[ledger.question_key("benefits", "a" * 16, 3)] = there
    with pytest.raises(ChunkMissingError):
        Store(bucket, "bucket").questions(CHUNK)
