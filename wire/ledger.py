"""Names in the bucket, the queue's message, and the bridge's notes: the part of a job that is in the clear.

The bridge imports this and nothing that opens a seal.
"""

import base64
import enum
import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

from wire.errors import LedgerError
from wire.messages import MAX_CHUNK, MAX_CHUNK_RECORDS, MAX_RECORD, MAX_SEALED
from wire.names import IMAGE, JOB, KEY_ARN, TENANT
from wire.strict_json import Check, dump, number, parse_object, shaped

MESSAGE_VERSION: Final = 1
MAX_BODY: Final = 256 * 1024
"""Characters of a queue message. SQS takes 1 MiB a batch and bills by 64 KiB; larger chunks are fetched from S3."""
MAX_NOTE: Final = 4096
MAX_RETRIES: Final = 64
"""Retries of one job that are merged."""

_ANSWER_NAME: Final = re.compile(r"([0-9]{8,10})\.([0-9]{1,13})\.([0-9]{1,13})(?:~([0-9a-f]{16}))?")


def job_prefix(tenant: str, job: str) -> str:
    """What the names of all objects of a job begin with."""
    return f"{tenant}/{job}/"


def manifest_key(tenant: str, job: str) -> str:
    """Where a job's manifest lies."""
    return f"{tenant}/{job}/manifest"


def page_key(tenant: str, job: str, page: int) -> str:
    """Where a page of chunk entries lies."""
    return f"{tenant}/{job}/pages/{page:06d}"


def question_prefix(tenant: str, job: str) -> str:
    """What the names of a job's sealed questions begin with."""
    return f"{tenant}/{job}/questions/"


def question_key(tenant: str, job: str, chunk: int) -> str:
    """Where a sealed chunk of questions lies."""
    return f"{question_prefix(tenant, job)}{chunk:08d}"


def answer_prefix(tenant: str, job: str) -> str:
    """What the names of a job's answers begin with."""
    return f"{tenant}/{job}/answers/"


def failure_prefix(tenant: str, job: str) -> str:
    """What the names of a job's failures, in the bridge's word, begin with."""
    return f"{tenant}/{job}/failures/"


def answer_key(tenant: str, job: str, chunk: int, first: int, count: int) -> str:
    """Where the sealed answers to records `first` to `first + count - 1` lie."""
    return f"{answer_prefix(tenant, job)}{chunk:08d}.{first}.{count}"


def failure_key(tenant: str, job: str, chunk: int, first: int, count: int) -> str:
    """Where the bridge says that these records will have no answer."""
    return f"{failure_prefix(tenant, job)}{chunk:08d}.{first}.{count}"


def notice_key(tenant: str, job: str) -> str:
    """Where the bridge says why a job does not move."""
    return f"{tenant}/{job}/notice"


def retry_prefix(tenant: str, job: str) -> str:
    """What the names begin with that stand for retries of a job."""
    return f"{tenant}/{job}/retries/"


def retry_key(tenant: str, job: str, ticket: str, mac: bytes) -> str:
    """The name that stands for a retry of a job: the retry's ticket, under `wire.keys.retry_mac`. The object is empty.

    A name that others put there is told from it without a look into the object, and nobody can write over a name.
    """
    return f"{retry_prefix(tenant, job)}{ticket}.{mac.hex()}"


def lookup_key(tenant: str, mark: str) -> str:
    """Where the ticket of a job lies that was submitted under an idempotency key; `mark` is the key's HMAC."""
    return f"{tenant}/lookup/{mark}"


class Mark(enum.StrEnum):
    """An object that says what was done with a whole job."""

    CANCELED = "canceled"
    PURGED = "purged"


def mark_prefix(tenant: str, job: str) -> str:
    """What the names of a job's marks begin with."""
    return f"{tenant}/{job}/marks/"


def mark_key(tenant: str, job: str, mark: Mark) -> str:
    """Where it is said that the job was canceled or purged."""
    return f"{mark_prefix(tenant, job)}{mark}"


def alternative(key: str, body: bytes) -> str:
    """Where an answer goes when another object is at its key: `<key>~<first 16 hex digits of its SHA-256>`."""
    return f"{key}~{hashlib.sha256(body).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class AnswerName:
    """What an answer's or failure's name says; `alternative` is the digest behind a `~`, or None."""

    chunk: int
    first: int
    count: int
    alternative: str | None


def parse_answer_name(name: str) -> AnswerName:
    """Take apart the last part of an answer's or failure's key.

    Raises:
        LedgerError: nothing of ours is named so.
    """
    match = _ANSWER_NAME.fullmatch(name)
    if match is None:
        raise LedgerError("object name: not an answer's")
    found = AnswerName(int(match[1]), int(match[2]), int(match[3]), match[4])
    plain = f"{found.chunk:08d}.{found.first}.{found.count}"
    if match[0].partition("~")[0] != plain or found.count < 1 or found.chunk > MAX_CHUNK:
        raise LedgerError("object name: numbers out of range or not in their one spelling")
    return found


@dataclass(frozen=True, slots=True)
class ChunkMessage:
    """One chunk to be answered: where it lies, the SHA-256 and size of the sealed object, and the object if it fits.

    It is not to be answered after `deadline_ms` nor before `not_before_ms`, milliseconds since 1970, UTC.
    """

    tenant: str
    job: str
    chunk: int
    first: int
    count: int
    digest: bytes
    size: int
    inline: bytes | None
    deadline_ms: int | None = None
    not_before_ms: int | None = None

    def encode(self) -> str:
        """JSON text, with the sealed object inline when the text stays within `MAX_BODY`."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        fields |= {"v": MESSAGE_VERSION, "digest": self.digest.hex()}
        inline = fields.pop("inline", None)
        if inline is not None:
            text = dump(fields | {"inline": base64.b64encode(inline).decode()})
            if len(text) <= MAX_BODY:
                return text
        return dump(fields)


_MESSAGE: Final[Mapping[str, Check]] = {
    "v": number(MESSAGE_VERSION, MESSAGE_VERSION),
    "tenant": shaped(TENANT),
    "job": shaped(JOB),
    "chunk": number(high=MAX_CHUNK),
    "first": number(high=MAX_RECORD),
    "count": number(1, MAX_CHUNK_RECORDS),
    "digest": shaped(re.compile("[0-9a-f]{64}")),
    "size": number(1, MAX_SEALED),
}
_MESSAGE_OPTIONAL: Final[Mapping[str, Check]] = {
    "inline": lambda value: isinstance(value, str),
    "deadline_ms": number(),
    "not_before_ms": number(),
}


def parse_chunk_message(body: str) -> ChunkMessage:
    """The chunk that a queue message names; whether `inline` has that digest is for the receiver to check.

    Raises:
        LedgerError: the text is not exactly one such message.
    """
    fields = parse_object(body, MAX_BODY, "queue message", _MESSAGE, _MESSAGE_OPTIONAL)
    del fields["v"]
    if fields["first"] + fields["count"] - 1 > MAX_RECORD:
        raise LedgerError(f"queue message: its records go beyond {MAX_RECORD}, the largest number")
    fields["digest"] = bytes.fromhex(fields["digest"])
    inline = fields.pop("inline", None)
    try:
        data = None if inline is None else base64.b64decode(inline, validate=True)
    except ValueError:
        raise LedgerError("queue message: inline is not base64") from None
    return ChunkMessage(**fields, inline=data)


@dataclass(frozen=True, slots=True)
class Failure:
    """The bridge's word, unattested, that records will have no answer; `at_ms` since 1970, UTC."""

    code: str
    at_ms: int

    CODES: ClassVar = ("decrypt_failed", "enclave_lost", "canceled")


@dataclass(frozen=True, slots=True)
class Notice:
    """The bridge's word, unattested, why a job does not move at present."""

    code: str
    image: str
    key_arn: str
    at_ms: int

    CODES: ClassVar = ("key_denied", "wrong_image", "key_invalid", "kms_unavailable")


_FAILURE: Final[Mapping[str, Check]] = {"code": Failure.CODES.__contains__, "at_ms": number()}
_NOTICE: Final[Mapping[str, Check]] = {
    "code": Notice.CODES.__contains__,
    "image": shaped(IMAGE),
    "key_arn": shaped(KEY_ARN),
    "at_ms": number(),
}


def encode_note(note: Failure | Notice) -> bytes:
    """JSON."""
    return dump(asdict(note)).encode()


def parse_failure(body: bytes) -> Failure:
    """The failure in `body`.

    Raises:
        LedgerError: it is not exactly one.
    """
    return Failure(**parse_object(body, MAX_NOTE, "failure", _FAILURE))


def parse_notice(body: bytes) -> Notice:
    """The notice in `body`.

    Raises:
        LedgerError: it is not exactly one.
    """
    return Notice(**parse_object(body, MAX_NOTE, "notice", _NOTICE))
