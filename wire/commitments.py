"""Salted commitments to a chunk's questions and results, and the Merkle roots over them that receipts hold.

Each record has a key of its own, derived from the chunk's salt, which nobody outside the seal knows: a commitment tells
nothing about a question that can be guessed, and one record can be shown to somebody without showing the others.
"""

import hmac
from collections.abc import Iterable

from wire.codec import Value, pack
from wire.keys import leaf_key
from wire.merkle import MerkleTree
from wire.payload import Record, Result


def question_commitment(salt: bytes, record: Record) -> bytes:
    """32 bytes that bind number, line, custom_id and conversation of a record."""
    turns: list[Value] = [[message.role, message.content] for message in record.messages]
    return _commit(salt, record.number, b"question", [record.number, record.line, record.custom_id, turns])


def result_commitment(salt: bytes, result: Result) -> bytes:
    """32 bytes that bind everything that a line of output says about a result.

    Tokens count where there is an answer; lines without one do not show them.
    """
    values: list[Value] = [
        result.number,
        result.line,
        result.custom_id,
        str(result.outcome),
        result.text,
        result.finish_reason,
        result.prompt_tokens if result.answered else 0,
        result.completion_tokens if result.answered else 0,
        None if result.error is None else str(result.error),
        result.detail,
    ]
    return _commit(salt, result.number, b"result", values)


def root_of(commitments: Iterable[bytes]) -> bytes:
    """The Merkle tree hash over commitments in the order of record numbers."""
    tree = MerkleTree()
    for commitment in commitments:
        tree.append(commitment)
    return tree.root()


def question_root(salt: bytes, records: Iterable[Record]) -> bytes:
    """The root over the questions of a range of records."""
    return root_of(question_commitment(salt, record) for record in records)


def result_root(salt: bytes, results: Iterable[Result]) -> bytes:
    """The root over the results of a range of records."""
    return root_of(result_commitment(salt, result) for result in results)


def _commit(salt: bytes, number: int, kind: bytes, values: list[Value]) -> bytes:
    return hmac.digest(leaf_key(salt, number), kind + pack(values), "sha256")
