"""When a job's chunks were answered, as the bucket dates its objects: nothing is opened."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from results_consumer.bucket import Bucket
from results_consumer.clients import S3Client
from results_consumer.settings import ReaderSettings
from wire import ledger
from wire.errors import LedgerError

MINUTE_MS: Final = 60_000
SLOWEST: Final = 5


@dataclass(frozen=True, slots=True)
class Timeline:
    """`answered` has (minute since 1970, records) in order; `slowest` (chunk, seconds from stored to answered).

    `in_parts` counts chunks that were answered in more than one piece, which happens when one had to be asked for
    again by ranges.
    """

    answered: tuple[tuple[int, int], ...]
    slowest: tuple[tuple[int, float], ...]
    in_parts: int


def timeline(s3: S3Client, settings: ReaderSettings, job: str) -> Timeline:
    """Look at the dates of a job's objects; a LIST for every 1000 of them.

    Raises:
        ServiceError: S3 does not give them.
    """
    bucket = Bucket(s3, settings.bucket)
    minutes: Counter[int] = Counter()
    parts: Counter[int] = Counter()
    finished: dict[int, int] = {}
    for name, modified_ms in _answers(bucket, settings.tenant, job):
        minutes[modified_ms // MINUTE_MS] += name.count
        parts[name.chunk] += 1
        finished[name.chunk] = max(finished.get(name.chunk, 0), modified_ms)
    slow: list[tuple[int, float]] = []
    for text, stored_ms in bucket.dated_names(ledger.question_prefix(settings.tenant, job)):
        if text.isdecimal() and (end := finished.get(int(text))) is not None:
            slow.append((int(text), max(0, end - stored_ms) / 1000))
            if len(slow) > 1000:
                slow = _slowest(slow)
    in_parts = sum(count > 1 for count in parts.values())
    return Timeline(tuple(sorted(minutes.items())), tuple(_slowest(slow)), in_parts)


def _slowest(chunks: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return sorted(chunks, key=lambda chunk: (-chunk[1], chunk[0]))[:SLOWEST]


def _answers(bucket: Bucket, tenant: str, job: str) -> Iterator[tuple[ledger.AnswerName, int]]:
    for text, modified_ms in bucket.dated_names(ledger.answer_prefix(tenant, job)):
        try:
            name = ledger.parse_answer_name(text)
        except LedgerError:
            continue  # a foreign object; fetch counts those
        if name.alternative is None:
            yield name, modified_ms
