"""The job's answer keys: one KMS call a keyset, and the proof that the manifest is their maker's."""

from dataclasses import dataclass, field
from typing import Any

from botocore import exceptions as botocore

from aws_errors.mapped import error_code, mapped
from results_consumer.clients import KmsClient
from results_consumer.errors import Check, IntegrityError, checked
from results_consumer.job import Job
from wire import keys, ledger
from wire.manifest import Keyset, verify_manifest

_NOT_OF_THIS_KEY = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """A plain answer key, what answers call its wrapped form, and the keyset that it is of."""

    keyset: Keyset
    wrapped_digest: bytes
    key: bytes = field(repr=False)


def unwrap_keys(kms: KmsClient, job: Job) -> tuple[AnswerKey, ...]:
    """Have KMS decrypt the answer key of each keyset once: checks 9 and 10 of `errors.Check`.

    Raises:
        IntegrityError: a wrapped key is not of this key and job, or the manifest's HMAC is not of the first one.
        ServiceError: KMS refuses or does not answer.
    """
    ring = tuple(_unwrap(kms, job, keyset) for keyset in job.manifest.keysets)
    # 10. The HMAC comes last of what is checked about the job: only now is there a key for it.
    with checked(Check.MANIFEST_HMAC, _where(job)):
        verify_manifest(job.encoded, ring[0].key)
    return ring


def _unwrap(kms: KmsClient, job: Job, keyset: Keyset) -> AnswerKey:
    manifest = job.manifest
    context = keys.encryption_context("answer", manifest.tenant, manifest.job, keyset.image)
    wrapped = keyset.answer_wrapped
    reply: dict[str, Any] = {}
    with mapped("KMS", "Decrypt", keyset.answer_key_arn):
        try:
            reply = kms.decrypt(KeyId=keyset.answer_key_arn, CiphertextBlob=wrapped, EncryptionContext=context)
        except botocore.ClientError as error:
            if error_code(error) not in _NOT_OF_THIS_KEY:
                raise
    # 9. The key is the configured one's, and KMS took tenant, job and image for its context.
    key = reply.get("Plaintext")
    if reply.get("KeyId") != keyset.answer_key_arn or not isinstance(key, bytes) or len(key) != keys.KEY_SIZE:
        raise IntegrityError(Check.ANSWER_KEY, _where(job))
    return AnswerKey(keyset, keys.wrapped_digest(keyset.answer_key_arn, context, wrapped), key)


def _where(job: Job) -> str:
    return ledger.manifest_key(job.manifest.tenant, job.manifest.job)
