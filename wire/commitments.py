"""Salted commitments to a chunk's questions and results, and the Merkle roots over them that receipts hold.

Each record has a key of its own, derived from the chunk's salt, which nobody outside the seal knows: a commitment tells
nothing about a question that can be guessed, and one record can be shown to somebody without showing the others.
"""

import hmac
from collections.abc import Iterable
from dataclasses import replace

from wire.codec import pack
from wire.keys import leaf_key
from wire.merkle import MerkleTree
from wire.payload import Record, Result


def question_commitment(salt: bytes, record: Record) -> bytes:
    """32 bytes that bind number, line, custom_id and conversation of a record."""
    values = [record.number, record.line, record.custom_id, record.messages]
    return _commit(salt, record.number, b"question", values)


def result_commitment(salt: bytes, result: Result) -> bytes:
    """32 bytes that bind everything that a line of output says about a result.

    Tokens count where there is an answer; lines without one do not show them.
    """
    shown = result if result.answered else replace(result, prompt_tokens=0, completion_tokens=0)
    return _commit(salt, result.number, b"result", shown)


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


def _commit(salt: bytes, number: int, kind: bytes, content: object) -> bytes:
    return hmac.digest(leaf_key(salt, number), kind + pack(content), "sha256")
