"""Writes wire.json, the known answers of docs/reference/wire.md.

Run it only when the format changes, and read the difference.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import wire_samples as samples  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: E402

from enclave_worker.identity import settings_digest  # noqa: E402
from wire import envelope, framing, keys, ledger, messages  # noqa: E402
from wire.commitments import question_commitment, result_commitment  # noqa: E402
from wire.merkle import MerkleTree  # noqa: E402
from wire.receipt import key_statement, to_be_signed  # noqa: E402


def flip(data: bytes, at: int) -> str:
    """`data` in hexadecimal, the lowest bit of one byte changed."""
    return (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]).hex()


def derivations() -> list[dict[str, Any]]:
    """What HKDF gives for each label."""
    binding = [1, samples.TENANT, samples.JOB, 2, 4, 3]
    context = keys.encryption_context("question", samples.TENANT, samples.JOB, samples.IMAGE)
    return [
        {"name": "seal key", "key": samples.KEY.hex(), "value": keys.seal_key(samples.KEY, list(binding)).hex()},
        {"name": "commitment", "key": samples.KEY.hex(), "value": keys.commitment(samples.KEY, list(binding)).hex()},
        {"name": "sampling seed of record 4", "value": keys.sampling_seed(samples.KEY, samples.JOB, 4)},
        {"name": "user seed 7", "value": keys.user_seed(7)},
        {
            "name": "wrapped digest",
            "key_arn": samples.QUESTION_ARN,
            "context": context,
            "wrapped": samples.WRAPPED.hex(),
            "value": keys.wrapped_digest(samples.QUESTION_ARN, context, samples.WRAPPED).hex(),
        },
    ]


def seals() -> list[dict[str, Any]]:
    """Sealed objects with the one outcome that opening each must have."""
    good = samples.QUESTIONS
    start = 8 + int.from_bytes(good[6:8], "big")
    plain = {"key": samples.KEY.hex(), "nonce": samples.NONCE.hex(), "payload": samples.QUESTION_PAYLOAD.hex()}
    return [
        {"name": "questions", "expect": "opens", "sealed": good.hex(), **plain},
        {
            "name": "answers",
            "expect": "opens",
            "sealed": samples.ANSWERS.hex(),
            "key": samples.ANSWER_KEY.hex(),
            "nonce": samples.NONCE.hex(),
            "payload": samples.RESULT_PAYLOAD.hex(),
        },
        {"name": "wrong key", "expect": "does not open", "sealed": good.hex(), "key": bytes(32).hex()},
        {"name": "changed tenant", "expect": "does not open", "sealed": flip(good, 12), "key": samples.KEY.hex()},
        {"name": "changed nonce", "expect": "does not open", "sealed": flip(good, start), "key": samples.KEY.hex()},
        {
            "name": "changed tag",
            "expect": "does not open",
            "sealed": flip(good, len(good) - 5),
            "key": samples.KEY.hex(),
        },
        {"name": "wrong magic", "expect": "malformed", "sealed": flip(good, 0), "key": samples.KEY.hex()},
        {"name": "cut", "expect": "malformed", "sealed": good[:-1].hex(), "key": samples.KEY.hex()},
        {"name": "one byte more", "expect": "malformed", "sealed": good.hex() + "00", "key": samples.KEY.hex()},
    ]


def receipts() -> dict[str, Any]:
    """A receipt, what it is made of, and the sealed answers that carry it."""
    public = samples.RECEIPT_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    value = samples.RECEIPT_VALUE
    return {
        "salt": samples.SALT.hex(),
        "leaf key of record 4": keys.leaf_key(samples.SALT, 4).hex(),
        "question commitments": [question_commitment(samples.SALT, record).hex() for record in samples.RECORDS],
        "result commitments": [result_commitment(samples.SALT, result).hex() for result in samples.RESULTS],
        "question_root": value.question_root.hex(),
        "result_root": value.result_root.hex(),
        "settings digest of {context_length: 2048, default_max_tokens: 128}": settings_digest(
            {"context_length": 2048, "default_max_tokens": 128}
        ).hex(),
        "user_data": key_statement(value.model, value.template, value.settings).hex(),
        "document": samples.DOCUMENT.hex(),
        "public_key": public.hex(),
        "payload": samples.RECEIPT_PAYLOAD.hex(),
        "to_be_signed": to_be_signed(samples.RECEIPT_PAYLOAD).hex(),
        "receipt": samples.RECEIPT.hex(),
        "answer_key": samples.ANSWER_KEY.hex(),
        "sealed": samples.RECEIPTED.hex(),
    }


def vectors() -> dict[str, Any]:
    """All known answers."""
    tree = MerkleTree()
    for entry in samples.ENTRIES:
        tree.append(entry.encode())
    message = ledger.ChunkMessage(samples.TENANT, samples.JOB, 2, 4, 3, hashlib.sha256(b"abc").digest(), 3, b"abc")
    return {
        "frame": {"body": b"hello".hex(), "frame": framing.encode_frame(b"hello").hex()},
        "messages": [
            {"type": type(message).__name__, "body": messages.encode(message).hex()} for message in samples.MESSAGES
        ],
        "derivations": derivations(),
        "seals": seals(),
        "receipt": receipts(),
        "buckets": [[size, envelope.bucket(size)] for size in (1, 4096, 4097, 70_000)],
        "manifest": {
            "answer_key": samples.ANSWER_KEY.hex(),
            "manifest": samples.MANIFEST.hex(),
            "ticket": samples.TICKET,
        },
        "page": {"page": samples.PAGE.hex(), "root": tree.root().hex()},
        "queue_message": message.encode(),
        "names": {
            "manifest": ledger.manifest_key(samples.TENANT, samples.JOB),
            "page": ledger.page_key(samples.TENANT, samples.JOB, 0),
            "questions": ledger.question_key(samples.TENANT, samples.JOB, 2),
            "answers": ledger.answer_key(samples.TENANT, samples.JOB, 2, 4, 3),
            "alternative": ledger.alternative(ledger.answer_key(samples.TENANT, samples.JOB, 2, 4, 3), b"abc"),
        },
    }


if __name__ == "__main__":
    Path(__file__).with_name("wire.json").write_text(json.dumps(vectors(), indent=1) + "\n")
