"""Headers of sealed objects: what each says in the clear, and binds. Encoded in strict msgpack, as an array."""

from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from wire.fields import Fields
from wire.messages import MAX_CHUNK, MAX_RECORD, MAX_WRAPPED
from wire.names import IMAGE, JOB, KEY_ARN, TENANT


@dataclass(frozen=True, slots=True)
class _Place:
    """The object is of the records `first` to `first + count - 1` of a job, for `image`, its key under `key_arn`."""

    tenant: str
    job: str
    image: str
    chunk: int
    first: int
    count: int
    key_arn: str

    direction: ClassVar[int]

    def binding(self) -> list[int | str]:
        """What every key of the object is derived for."""
        return [self.direction, self.tenant, self.job, self.chunk, self.first, self.count]


@dataclass(frozen=True, slots=True)
class QuestionHeader(_Place):
    """The header of a chunk of questions: `wrapped` is the question key under the KMS key `key_arn`.

    `commitment` is for `wire.envelope.seal` to fill in.
    """

    direction: ClassVar[int] = 1

    wrapped: bytes
    commitment: bytes = field(default=b"", kw_only=True)


@dataclass(frozen=True, slots=True)
class AnswerHeader(_Place):
    """The header of answers.

    `wrapped_digest` names the answer key (`wire.keys.wrapped_digest`), `question_digest` is the SHA-256 of the whole
    sealed question object, `model` the digest of the model's manifest and `template` that of the prompt template.
    `commitment` is for `wire.envelope.seal` to fill in.
    """

    direction: ClassVar[int] = 2

    wrapped_digest: bytes
    commitment: bytes = field(default=b"", kw_only=True)
    question_digest: bytes
    model: bytes
    template: bytes


Header: TypeAlias = QuestionHeader | AnswerHeader


def read_question_header(fields: Fields) -> QuestionHeader:
    """A question header, each field within its limits."""
    return QuestionHeader(
        *_place(fields),
        wrapped=fields.data("wrapped", longest=MAX_WRAPPED),
        commitment=fields.data("commitment", size=32),
    )


def read_answer_header(fields: Fields) -> AnswerHeader:
    """An answer header, each field within its limits."""
    return AnswerHeader(
        *_place(fields),
        wrapped_digest=fields.data("wrapped_digest", size=32),
        commitment=fields.data("commitment", size=32),
        question_digest=fields.data("question_digest", size=32),
        model=fields.data("model", size=32),
        template=fields.data("template", size=32),
    )


def _place(fields: Fields) -> tuple[str, str, str, int, int, int, str]:
    return (
        fields.shaped("tenant", TENANT),
        fields.shaped("job", JOB),
        fields.shaped("image", IMAGE),
        fields.number("chunk", high=MAX_CHUNK),
        fields.number("first", high=MAX_RECORD),
        fields.number("count", low=1, high=MAX_RECORD),
        fields.shaped("key_arn", KEY_ARN),
    )
