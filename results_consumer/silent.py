"""Records without an answer: what the bridge says about them, or the deadline."""

from collections.abc import Iterable
from dataclasses import dataclass

from results_consumer.bucket import Bucket
from results_consumer.cover import Range, common, gaps
from results_consumer.coverage import span_of
from results_consumer.job import Job
from wire import ledger
from wire.errors import LedgerError
from wire.ledger import MAX_NOTE, AnswerName, Failure, parse_failure
from wire.payload import ErrorCode, Outcome


@dataclass(frozen=True, slots=True)
class Silent:
    """Records that nobody answered, and why: nothing about them is attested. `code` belongs to errored records."""

    span: Range
    outcome: Outcome
    code: ErrorCode | None

    def values(self) -> list[int | str | None]:
        """First record, count, outcome and code, as JSON and msgpack take them."""
        return [self.span.first, self.span.count, str(self.outcome), None if self.code is None else str(self.code)]

    @classmethod
    def of(cls, first: int, count: int, outcome: str, code: str | None) -> "Silent":
        """The records of which these are the `values`."""
        return cls(Range(first, count), Outcome(outcome), None if code is None else ErrorCode(code))


def explain(
    bucket: Bucket, job: Job, failures: Iterable[AnswerName], silent: tuple[Range, ...]
) -> tuple[tuple[Silent, ...], tuple[Range, ...]]:
    """What the failure objects say about the `silent` ranges of a chunk, and the ranges that they say nothing about.

    Raises:
        ServiceError: S3 does not give a failure object.
    """
    told: list[Silent] = []
    for name in failures:
        span = span_of(name)
        said = common(silent, span)
        failure = _failure(bucket, job, name) if said else None
        if failure is None:
            continue
        told += [_silent(part, failure) for part in said]
        silent = tuple(part for item in silent for part in gaps(item, (span,)))
    return tuple(told), silent


def _failure(bucket: Bucket, job: Job, name: AnswerName) -> Failure | None:
    where = ledger.failure_key(job.manifest.tenant, job.manifest.job, name.chunk, name.first, name.count)
    body = bucket.get(where, limit=MAX_NOTE)
    try:
        return None if body is None else parse_failure(body)
    except LedgerError:
        return None


def _silent(span: Range, failure: Failure) -> Silent:
    if failure.code == "canceled":
        return Silent(span, Outcome.CANCELED, None)
    return Silent(span, Outcome.ERRORED, ErrorCode(failure.code))
