"""A job's keyset: a question key and an answer key, made once by the sealing process and kept in its memory."""

import os
from dataclasses import dataclass, field
from typing import Final

from producer.clients import KmsClient
from producer.data_key import generate_data_key
from producer.settings import ProducerSettings
from wire import manifest
from wire.keys import KEY_SIZE, Purpose, encryption_context, wrapped_digest

_DRY_WRAPPED_SIZE: Final = 184
"""Bytes that AWS KMS takes to wrap 32."""


@dataclass(frozen=True, slots=True)
class Keyset:
    """Both plain keys, hidden from repr, and `public`, their wrapped forms as the manifest shows them."""

    public: manifest.Keyset
    question_key: bytes = field(repr=False)
    answer_key: bytes = field(repr=False)
    answer_wrapped_digest: bytes


def generate_keyset(kms: KmsClient, settings: ProducerSettings, job: str) -> Keyset:
    """Two calls of GenerateDataKey, each under its own KMS key and context.

    Raises:
        ServiceError: KMS refused, could not be reached, or answered with another key than was asked for.
    """
    question_key, question_wrapped = _generate(kms, settings.question_key, "question", settings, job)
    answer_key, answer_wrapped = _generate(kms, settings.answer_key, "answer", settings, job)
    return _keyset(settings, job, (question_key, question_wrapped), (answer_key, answer_wrapped))


def throwaway_keyset(settings: ProducerSettings, job: str) -> Keyset:
    """Random keys that nobody can unwrap, for a dry run."""
    question = os.urandom(KEY_SIZE), os.urandom(_DRY_WRAPPED_SIZE)
    return _keyset(settings, job, question, (os.urandom(KEY_SIZE), os.urandom(_DRY_WRAPPED_SIZE)))


def _keyset(settings: ProducerSettings, job: str, question: tuple[bytes, bytes], answer: tuple[bytes, bytes]) -> Keyset:
    context = encryption_context("answer", settings.tenant, job, settings.image)
    return Keyset(
        public=manifest.Keyset(settings.image, settings.question_key, question[1], settings.answer_key, answer[1]),
        question_key=question[0],
        answer_key=answer[0],
        answer_wrapped_digest=wrapped_digest(settings.answer_key, context, answer[1]),
    )


def _generate(
    kms: KmsClient, key_arn: str, purpose: Purpose, settings: ProducerSettings, job: str
) -> tuple[bytes, bytes]:
    return generate_data_key(kms, key_arn, encryption_context(purpose, settings.tenant, job, settings.image))
