"""Carries a wrapped key to KMS and KMS's reply back to the enclave; it can open neither."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from vsock_bridge.clients import KmsClient
from vsock_bridge.metrics import Metrics
from vsock_bridge.reasons import code, reason, unwrap_advice
from wire.messages import MAX_RECIPIENT, Unwrap, UnwrapCode, Unwrapped, UnwrapRefused

DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "DisabledException",
        "InvalidKeyUsageException",
        "KMSInvalidStateException",
        "NotFoundException",
    }
)
"""No chunk can be opened until somebody mends policy, key or configuration; nothing is wrong with the chunk."""
INVALID: Final = frozenset({"IncorrectKeyException", "InvalidCiphertextException"})
"""This wrapped key will never open. Whatever else may pass: a chunk is not given up for it."""

_log = logging.getLogger("sealbatch.vsock_bridge")


class Courier:
    """Makes one kind of KMS call, `Decrypt` with `Recipient`, for one questions key."""

    def __init__(self, kms: KmsClient, question_key: str, metrics: Metrics) -> None:
        self._kms = kms
        self._question_key = question_key
        self._metrics = metrics

    def unwrap(self, request: Unwrap) -> Unwrapped | UnwrapRefused:
        """KMS's reply, encrypted by KMS for the enclave that made the document; or why there is none."""
        if request.key_arn != self._question_key:
            # Answers keys and other people's keys are none of the enclave's business. It may be this bridge that is
            # set up for the wrong key, so the chunk is kept.
            return self._refuse(request, UnwrapCode.DENIED, "foreign_key")
        try:
            reply = self._kms.decrypt(
                KeyId=request.key_arn,
                CiphertextBlob=request.wrapped,
                EncryptionContext=dict(request.context),
                Recipient={
                    "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
                    "AttestationDocument": request.document,
                },
            )
        except ClientError as error:
            found = code(error)
            if found in DENIED:
                return self._refuse(request, UnwrapCode.DENIED, found)
            if found in INVALID:
                return self._refuse(request, UnwrapCode.INVALID, found)
            return self._refuse(request, UnwrapCode.UNAVAILABLE, found)
        except BotoCoreError as error:
            return self._refuse(request, UnwrapCode.UNAVAILABLE, reason(error))
        return self._check(request, reply)

    def _check(self, request: Unwrap, reply: Mapping[str, Any]) -> Unwrapped | UnwrapRefused:
        if reply.get("Plaintext"):
            # This KMS does not honour Recipient: a key lay open on the parent. Drop it and shout. The wrapped key is
            # as good as before, so its chunks wait for an endpoint that is KMS.
            _log.critical(
                "KMS returned a plaintext key: this endpoint does not honour attestation and is none of AWS's; reply "
                "dropped; correct endpoint_url, and take chunks sealed under the key for readable by that endpoint"
            )
            return self._refuse(request, UnwrapCode.UNAVAILABLE, "plaintext")
        ciphertext = reply.get("CiphertextForRecipient")
        if reply.get("KeyId") != request.key_arn or not ciphertext or len(ciphertext) > MAX_RECIPIENT:
            # botocore makes such a reply out of a body that was cut off: nothing is known of the key by it.
            return self._refuse(request, UnwrapCode.UNAVAILABLE, "bad_reply")
        return Unwrapped(request.request, bytes(ciphertext))

    def _refuse(self, request: Unwrap, answer: UnwrapCode, why: str) -> UnwrapRefused:
        self._metrics.unwrap_refusals.labels(str(answer)).inc()
        _log.warning(
            "unwrap refused key_arn=%s code=%s reason=%s: %s", request.key_arn, answer, why, unwrap_advice(why)
        )
        return UnwrapRefused(request.request, answer)
