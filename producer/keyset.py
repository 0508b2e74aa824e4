"""A job's keyset: a question key and an answer key, made once by the sealing process and kept in its memory."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from producer.clients import KmsClient
from producer.data_key import generate_data_key
from producer.settings import ProducerSettings
from wire import manifest
from wire.keys import KEY_SIZE, encryption_context, wrapped_digest

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
    return _keyset(partial(generate_data_key, kms), settings, job)


def throwaway_keyset(settings: ProducerSettings, job: str) -> Keyset:
    """Random keys that nobody can unwrap, for a dry run."""
    return _keyset(lambda _arn, _context: (os.urandom(KEY_SIZE), os.urandom(_DRY_WRAPPED_SIZE)), settings, job)


def _keyset(
    data_key: Callable[[str, Mapping[str, str]], tuple[bytes, bytes]], settings: ProducerSettings, job: str
) -> Keyset:
    question = encryption_context("question", settings.tenant, job, settings.image)
    answer = encryption_context("answer", settings.tenant, job, settings.image)
    question_key, question_wrapped = data_key(settings.question_key, question)
    answer_key, answer_wrapped = data_key(settings.answer_key, answer)
    return Keyset(
        public=manifest.Keyset(
            settings.image, settings.question_key, question_wrapped, settings.answer_key, answer_wrapped
        ),
        question_key=question_key,
        answer_key=answer_key,
        answer_wrapped_digest=wrapped_digest(settings.answer_key, answer, answer_wrapped),
    )
