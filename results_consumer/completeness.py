"""The root over everything that became of a job: one value that stands for all questions and all outcomes."""

from results_consumer.silent import Silent
from results_consumer.verify import Verified
from wire.codec import Value, pack
from wire.merkle import MerkleTree


def leaf_of(chunk: int, part: Verified | Silent) -> bytes:
    """The leaf of a part of a chunk."""
    place: list[Value] = [chunk, part.span.first, part.span.count]
    if isinstance(part, Verified):
        return pack([*place, part.receipt.question_root, part.receipt.result_root])
    return pack([*place, str(part.outcome), None if part.code is None else str(part.code)])


class Completeness:
    """Takes the parts of a job in the order of their records.

    The leaf of answers is `[chunk, first, count, question_root, result_root]` as their receipt has it, that of records
    without an answer `[chunk, first, count, outcome, code]`, in strict msgpack. The roots inside are over salted
    commitments, so the job's root tells nothing about a question that can be guessed.
    """

    def __init__(self) -> None:
        self._tree = MerkleTree()
        self.receipts = 0

    def add(self, leaf: bytes, *, receipt: bool) -> None:
        """Add the next part's leaf, and whether it has a receipt."""
        self.receipts += receipt
        self._tree.append(leaf)

    def root(self) -> bytes:
        """32 bytes."""
        return self._tree.root()
