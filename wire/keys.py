"""Every key, commitment and seed that is derived from a data key, each under a label of its own.

All by HKDF-SHA256 (RFC 5869) without salt: a data key of KMS is uniformly random, so extraction has nothing to mend.
The info input is the label followed by the strict msgpack of what the derivation is bound to.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wire.codec import pack

KEY_SIZE: Final = 32
LABEL: Final = b"sealbatch/1 "
CONTEXT_FORMAT: Final = "1"

Purpose = Literal["question", "answer"]


def encryption_context(purpose: Purpose, tenant: str, job: str, image: str) -> dict[str, str]:
    """The KMS encryption context of a keyset's key; KMS authenticates it and key policies put conditions on it."""
    return {
        "sealbatch:format": CONTEXT_FORMAT,
        "sealbatch:image": image,
        "sealbatch:job": job,
        "sealbatch:purpose": purpose,
        "sealbatch:tenant": tenant,
    }


def wrapped_digest(key_arn: str, context: Mapping[str, str], wrapped: bytes) -> bytes:
    """The 32-byte name of a wrapped key: key ARN, context and ciphertext together, so that none can be exchanged."""
    return hashlib.sha256(LABEL + b"wrapped key" + pack([key_arn, dict(context), wrapped])).digest()


def seal_key(key: bytes, binding: object) -> bytes:
    """The AES-256-GCM key of one sealed object."""
    return _derive(key, b"seal", binding)


def commitment(key: bytes, binding: object) -> bytes:
    """32 bytes that only `key` gives for this object: AES-GCM alone can be made to open under two keys."""
    return _derive(key, b"commitment", binding)


def receipt_key(key: bytes, binding: object) -> bytes:
    """The AES-256-GCM key under which an answer object's receipt is sealed."""
    return _derive(key, b"receipt", binding)


def leaf_key(salt: bytes, record: int) -> bytes:
    """The HMAC key of one record's commitments, from the salt of its chunk."""
    return _derive(salt, b"leaf", [record])


def manifest_mac(answer_key: bytes, job: str, body: bytes) -> bytes:
    """HMAC-SHA256 of a manifest's body under a key derived from the job's first answer key."""
    return hmac.digest(_derive(answer_key, b"manifest", [job]), body, "sha256")


def retry_mac(answer_key: bytes, job: str, ticket: str) -> bytes:
    """HMAC-SHA256 over the ticket of a retry under the first answer key of the `job` that it repeats records of.

    Whoever retries has opened that job, and nobody else can link another one to it.
    """
    return hmac.digest(_derive(answer_key, b"retry", [job]), ticket.encode(), "sha256")


def sampling_seed(question_key: bytes, job: str, record: int) -> int:
    """The seed, 0 to 2**63 - 1, of a record that names none: the same when a chunk is answered a second time."""
    return int.from_bytes(_derive(question_key, b"sampling", [job, record])[:8], "big") >> 1


def sharing_scope(question_key: bytes) -> bytes:
    """32 bytes that name whose questions may share work: those under one question key, and no others.

    Tenant and job stand in the clear and can be claimed by a parent that seals questions of its own making.
    """
    return _derive(question_key, b"sharing", [])


def user_seed(seed: int) -> int:
    """The seed, 0 to 2**63 - 1, of a record that names one: two records with one seed and one prompt agree."""
    return int.from_bytes(hashlib.sha256(LABEL + b"user seed" + pack([seed])).digest()[:8], "big") >> 1


def _derive(key: bytes, label: bytes, binding: object) -> bytes:
    if len(key) != KEY_SIZE:
        raise ValueError(f"a data key has {KEY_SIZE} bytes")
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=None, info=LABEL + label + pack(binding)).derive(key)
