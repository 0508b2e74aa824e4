"""What is inside a seal: records and the answer key on the way in, results on the way out, in strict msgpack."""

import enum
import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from wire.codec import Value, pack
from wire.envelope import MAX_PAYLOAD
from wire.errors import MessageError
from wire.fields import Fields
from wire.messages import MAX_CHUNK_RECORDS, MAX_RECORD
from wire.names import KEY_ARN

MAX_QUESTION_BYTES: Final = 131_072
"""UTF-8 bytes of all messages of one record; far beyond every Bloom's context of 2,048 tokens."""
MAX_MESSAGES: Final = 64
MAX_CUSTOM_ID: Final = 64
MAX_STOPS: Final = 4
MAX_STOP: Final = 64
MAX_TOP_K: Final = 1_000_000
MIN_PENALTY: Final = 0.1
MAX_PENALTY: Final = 2.0
MAX_TOKENS: Final = 65_536
MAX_ANSWER_CHARACTERS: Final = 1_048_576
MAX_DETAIL: Final = 200

CUSTOM_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", ""]
_ROLES: Final[tuple[Role, ...]] = get_args(Role)
_FINISH_REASONS: Final[tuple[FinishReason, ...]] = get_args(FinishReason)


class Outcome(enum.StrEnum):
    """What became of a record; every record gets exactly one."""

    SUCCEEDED = "succeeded"
    TRUNCATED = "truncated"
    ERRORED = "errored"
    EXPIRED = "expired"
    CANCELED = "canceled"


class ErrorCode(enum.StrEnum):
    """Why a line or record has no answer; OpenAI's names where it has them."""

    EMPTY_FILE = "empty_file"
    INVALID_ENCODING = "invalid_encoding"
    INVALID_JSON_LINE = "invalid_json_line"
    INVALID_RECORD = "invalid_record"
    LINE_TOO_LONG = "line_too_long"
    QUESTION_TOO_LARGE = "question_too_large"
    DUPLICATE_CUSTOM_ID = "duplicate_custom_id"
    URL_MISMATCH = "url_mismatch"
    MISSING_COLUMN = "missing_column"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    DECRYPT_FAILED = "decrypt_failed"
    ENCLAVE_LOST = "enclave_lost"
    POISON_RECORD = "poison_record"
    OUTPUT_TOO_LARGE = "output_too_large"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Params:
    """How to generate: None leaves it to the enclave; temperature 0 is greedy, and `top_k` 0 leaves all tokens in."""

    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_k: int = 0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        # A whole number has another encoding, which no reader takes for a real one.
        for name in ("temperature", "top_p", "repetition_penalty"):
            object.__setattr__(self, name, float(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Record:
    """One question.

    `number` counts the job's records from 0, `line` the input's lines from 1. `problem` marks a line that was
    invalid and kept, so that it gets its line of output: it has no messages.
    """

    number: int
    line: int
    custom_id: str
    messages: tuple[Message, ...]
    params: Params
    problem: ErrorCode | None = None


@dataclass(frozen=True, slots=True)
class QuestionPayload:
    """A chunk's records, and the answer key with the name of its wrapped form."""

    answer_key: bytes
    answer_key_arn: str
    answer_wrapped_digest: bytes
    salt: bytes
    records: tuple[Record, ...]

    def encode(self) -> bytes:
        """Strict msgpack.

        Raises:
            ValueError: our own misuse: a value that the format does not have.
        """
        return pack(self)

    @classmethod
    def decode(cls, data: bytes) -> "QuestionPayload":
        """The payload in `data`.

        Raises:
            MessageError: it is not exactly one question payload with fields within their limits.
        """
        with Fields.parse(data, max_size=MAX_PAYLOAD, error=MessageError, what="questions") as fields:
            return cls(
                answer_key=fields.data("answer_key", size=32),
                answer_key_arn=fields.shaped("answer_key_arn", KEY_ARN),
                answer_wrapped_digest=fields.data("answer_wrapped_digest", size=32),
                salt=fields.data("salt", size=32),
                records=tuple(_read_record(value) for value in fields.array("records", longest=MAX_CHUNK_RECORDS)),
            )


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one record: its outcome, and an answer or an error code with a detail free of content."""

    number: int
    line: int
    custom_id: str
    outcome: Outcome
    text: str = ""
    finish_reason: FinishReason = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: ErrorCode | None = None
    detail: str = ""

    @property
    def answered(self) -> bool:
        """Whether there is an answer, whole or cut."""
        return self.outcome in (Outcome.SUCCEEDED, Outcome.TRUNCATED)


@dataclass(frozen=True, slots=True)
class AnswerPayload:
    """A chunk's results, the name of the model that made them, and the salt that came with the questions."""

    model_name: str
    salt: bytes
    results: tuple[Result, ...]

    def encode(self) -> bytes:
        """Strict msgpack.

        Raises:
            ValueError: our own misuse: a value that the format does not have.
        """
        return pack(self)

    @classmethod
    def decode(cls, data: bytes) -> "AnswerPayload":
        """The payload in `data`.

        Raises:
            MessageError: it is not exactly one answer payload with fields within their limits.
        """
        with Fields.parse(data, max_size=MAX_PAYLOAD, error=MessageError, what="answers") as fields:
            return cls(
                model_name=fields.text("model_name", longest=128),
                salt=fields.data("salt", size=32),
                results=tuple(_read_result(value) for value in fields.array("results", longest=MAX_CHUNK_RECORDS)),
            )


def _read_record(value: Value) -> Record:
    with Fields(value, MessageError, "record") as fields:
        record = Record(
            number=fields.number("number", high=MAX_RECORD),
            line=fields.number("line", low=1, high=MAX_RECORD),
            custom_id=fields.shaped("custom_id", CUSTOM_ID),
            messages=tuple(_read_message(item) for item in fields.array("messages", longest=MAX_MESSAGES)),
            params=_read_params(fields.take("params")),
            problem=None if fields.nil() else fields.one_of("problem", ErrorCode),
        )
    size = sum(len(message.content.encode()) for message in record.messages)
    if size > MAX_QUESTION_BYTES or (record.problem is None) != bool(record.messages):
        raise MessageError("record: messages have a wrong size or should not be there")
    return record


def _read_message(value: Value) -> Message:
    with Fields(value, MessageError, "message of a record") as fields:
        return Message(fields.one_of("role", _ROLES), fields.text("content", longest=MAX_QUESTION_BYTES))


def _read_params(value: Value) -> Params:
    with Fields(value, MessageError, "params") as fields:
        return Params(
            max_tokens=fields.optional_number("max_tokens", low=1, high=MAX_TOKENS),
            temperature=fields.real("temperature", low=0.0, high=2.0),
            top_p=fields.real("top_p", low=0.0, high=1.0),
            seed=fields.optional_number("seed", low=-(2**63), high=2**63 - 1),
            stop=tuple(_read_stop(item) for item in fields.array("stop", longest=MAX_STOPS)),
            top_k=fields.number("top_k", high=MAX_TOP_K),
            repetition_penalty=fields.real("repetition_penalty", low=MIN_PENALTY, high=MAX_PENALTY),
        )


def _read_stop(value: Value) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_STOP:
        raise MessageError("params: stop has a wrong type or size")
    return value


def _read_result(value: Value) -> Result:
    with Fields(value, MessageError, "result") as fields:
        result = Result(
            number=fields.number("number", high=MAX_RECORD),
            line=fields.number("line", low=1, high=MAX_RECORD),
            custom_id=fields.shaped("custom_id", CUSTOM_ID),
            outcome=fields.one_of("outcome", Outcome),
            text=fields.text("text", longest=MAX_ANSWER_CHARACTERS),
            finish_reason=fields.one_of("finish_reason", _FINISH_REASONS),
            prompt_tokens=fields.number("prompt_tokens"),
            completion_tokens=fields.number("completion_tokens"),
            error=None if fields.nil() else fields.one_of("error", ErrorCode),
            detail=fields.text("detail", longest=MAX_DETAIL),
        )
    if (result.error is not None) != (result.outcome == Outcome.ERRORED):
        raise MessageError("result: an error code belongs to the outcome errored and to no other")
    return result
