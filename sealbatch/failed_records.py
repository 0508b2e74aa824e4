"""Which records of a job are worth asking again."""

import json
from typing import Final

from results_consumer.sink import LineSink
from wire.payload import ErrorCode

GONE_FOR_GOOD: Final = frozenset(
    str(code)
    for code in (
        ErrorCode.INVALID_ENCODING,
        ErrorCode.INVALID_JSON_LINE,
        ErrorCode.INVALID_RECORD,
        ErrorCode.LINE_TOO_LONG,
        ErrorCode.QUESTION_TOO_LARGE,
        ErrorCode.DUPLICATE_CUSTOM_ID,
        ErrorCode.URL_MISMATCH,
        ErrorCode.MISSING_COLUMN,
    )
)
"""Errors of a line that was never a question: the same input has no other line there."""


class FailedRecords(LineSink):
    """A sink for JSON lines that keeps the numbers of the records which failed, as ranges, and forgets the rest.

    Without `every`, only those count whose error says that another try may succeed.
    """

    def __init__(self, *, every: bool) -> None:
        self._every = every
        self.ranges: list[tuple[int, int]] = []

    def take(self, line: bytes) -> None:
        """Note the record if it is to be asked again."""
        record = json.loads(line)
        error = record["error"]
        if error is None or error["code"] in GONE_FOR_GOOD or not (self._every or error["retryable"]):
            return
        number = int(record["id"].rpartition("_")[2])
        if self.ranges and sum(self.ranges[-1]) == number:
            self.ranges[-1] = (self.ranges[-1][0], self.ranges[-1][1] + 1)
        else:
            self.ranges.append((number, 1))
