"""A keyset and sealed questions under it, true or bent on demand, for tests of the enclave."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wire import envelope, keys, ticket
from wire.header import AnswerHeader, QuestionHeader
from wire.payload import AnswerPayload, ErrorCode, Message, Params, QuestionPayload, Record

TENANT = "benefits"
IMAGE = "0123456789abcdef" * 6
QUESTION_ARN = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000a"
ANSWER_ARN = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000b"
SALT = bytes([7]) * 32


def record(number: int, question: str, **params: Any) -> Record:
    """One question, on line `number + 1`."""
    return Record(number, number + 1, f"case-{number}", (Message("user", question),), Params(**params))


def invalid(number: int) -> Record:
    """A line that was kept though it is invalid."""
    return Record(number, number + 1, f"case-{number}", (), Params(), ErrorCode.INVALID_JSON_LINE)


def conversation(number: int, *turns: tuple[str, str]) -> Record:
    """A record of several messages."""
    messages = tuple(Message(role, content) for role, content in turns)  # type: ignore[arg-type]
    return Record(number, number + 1, f"case-{number}", messages, Params())


@dataclass
class Keys:
    """What one sealing process holds for one job."""

    question_key: bytes = field(default_factory=lambda: os.urandom(32))
    answer_key: bytes = field(default_factory=lambda: os.urandom(32))
    wrapped: bytes = field(default_factory=lambda: os.urandom(184))
    answer_wrapped: bytes = field(default_factory=lambda: os.urandom(184))
    job: str = field(default_factory=ticket.new_job_id)
    image: str = IMAGE

    @property
    def context(self) -> dict[str, str]:
        """The encryption context of the question key."""
        return keys.encryption_context("question", TENANT, self.job, self.image)

    @property
    def answer_digest(self) -> bytes:
        """The name of the wrapped answer key."""
        context = keys.encryption_context("answer", TENANT, self.job, self.image)
        return keys.wrapped_digest(ANSWER_ARN, context, self.answer_wrapped)

    def payload(self, records: Sequence[Record]) -> bytes:
        """The plaintext of a chunk."""
        made = QuestionPayload(self.answer_key, ANSWER_ARN, self.answer_digest, SALT, tuple(records))
        return made.encode()

    def seal(self, records: Sequence[Record], *, plaintext: bytes | None = None, **bent: Any) -> bytes:
        """Sealed questions; whatever is named in `bent` goes into the header instead."""
        header: dict[str, Any] = {
            "tenant": TENANT,
            "job": self.job,
            "image": self.image,
            "chunk": 2,
            "first": records[0].number,
            "count": len(records),
            "key_arn": QUESTION_ARN,
            "wrapped": self.wrapped,
        }
        body = self.payload(records) if plaintext is None else plaintext
        return envelope.seal(QuestionHeader(**(header | bent)), self.question_key, body)

    def open(self, sealed: bytes) -> tuple[AnswerHeader, AnswerPayload]:
        """Header and payload of sealed answers, opened under the answer key."""
        parsed = envelope.parse_answers(sealed)
        return parsed.header, AnswerPayload.decode(parsed.open(self.answer_key))
