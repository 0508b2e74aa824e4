"""The leaves of the root over everything that became of a job, which stands for all questions and all outcomes.

The leaf of answers is `[chunk, first, count, question_root, result_root]` as their receipt has it, that of records
without an answer `[chunk, first, count, outcome, code]`, in strict msgpack. The roots inside are over salted
commitments, so the job's root tells nothing about a question that can be guessed.
"""

from results_consumer.silent import Silent
from results_consumer.verify import Verified
from wire.codec import pack


def leaf_of(chunk: int, part: Verified | Silent) -> bytes:
    """The leaf of a part of a chunk."""
    if isinstance(part, Silent):
        return pack([chunk, *part.values()])
    return pack([chunk, part.span.first, part.span.count, part.receipt.question_root, part.receipt.result_root])
