"""From the names that lie in the bucket for a chunk to its verified answers.

A foreign object at an answer's key must not hide the true answers, which the bridge then puts beside it: candidates
are tried until one is true, the plain key first, then the alternatives in order. One that fails is remembered. It
counts as ignored if verified answers cover its records all the same, and fails the job if they do not.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from results_consumer.bucket import Bucket
from results_consumer.clients import KmsClient
from results_consumer.cover import Range, gaps, tiling
from results_consumer.coverage import ChunkObjects, measure, span_of
from results_consumer.errors import Check, IntegrityError, JobNotFinished
from results_consumer.job import Job
from results_consumer.keyring import AnswerKey, unwrap_keys
from results_consumer.receipts import ReceiptVerifier
from results_consumer.silent import Silent, explain
from results_consumer.trust import Trust
from results_consumer.verify import Expected, Verified, verify_answers
from wire import ledger
from wire.ledger import AnswerName
from wire.messages import MAX_SEALED
from wire.payload import Outcome


@dataclass(frozen=True, slots=True)
class Revealed:
    """All that is known about a chunk's records: `parts`, in their order, and `missing` cover them exactly.

    `ignored` counts objects at answers' keys that failed a check and were not needed.
    """

    chunk: int
    parts: tuple[Verified | Silent, ...]
    missing: tuple[Range, ...]
    ignored: int


@dataclass(frozen=True, slots=True)
class Pin:
    """An object that was verified: another one at its key is refused."""

    span: Range
    where: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class PinnedChunk:
    """What a chunk consisted of when it was verified, without its content."""

    chunk: int
    parts: tuple[Pin | Silent, ...]


def pin(revealed: Revealed) -> PinnedChunk:
    """What is kept of a chunk between verifying and writing."""
    pins = (Pin(part.span, part.where, part.digest) if isinstance(part, Verified) else part for part in revealed.parts)
    return PinnedChunk(revealed.chunk, tuple(pins))


class Revealer:
    """Reveals chunks of one job. Holds no state between calls, so that threads may share it."""

    def __init__(self, bucket: Bucket, job: Job, ring: tuple[AnswerKey, ...], trust: Trust, now_ms: int) -> None:
        self.job = job
        self.first_key = ring[0].key
        self._bucket = bucket
        self._ring = ring
        self._receipts = ReceiptVerifier(trust)
        self._now = datetime.fromtimestamp(now_ms / 1000, UTC)
        self._late = job.is_late(now_ms)

    def reveal(self, found: ChunkObjects) -> Revealed:
        """Verify the answers to a chunk: checks 11 to 24 and 29 of `errors.Check`.

        Raises:
            IntegrityError: records are covered by objects of which none stands the checks, or not exactly.
            ServiceError: S3 does not give an object.
        """
        candidates: dict[Range, list[AnswerName]] = {}
        for name in found.answers:
            candidates.setdefault(span_of(name), []).append(name)
        verified: dict[Range, Verified] = {}
        refused: list[tuple[Range, IntegrityError]] = []
        while undecided := [tile for tile in tiling(found.span, candidates) if tile not in verified]:
            for tile in undecided:
                answers = self._first_true(candidates[tile], refused)
                if answers is None:
                    del candidates[tile]  # and see whether others cover its records
                else:
                    verified[tile] = answers
        tiles = tiling(found.span, candidates)
        uncovered = gaps(found.span, tiles)
        self._refuse_overlaid(uncovered, refused, candidates)
        silent, missing = explain(self._bucket, self.job, found.failures, uncovered)
        if self._late:
            silent += tuple(Silent(part, Outcome.EXPIRED, None) for part in missing)
            missing = ()
        parts: list[Verified | Silent] = [*(verified[tile] for tile in tiles), *silent]
        return Revealed(found.chunk, tuple(sorted(parts, key=lambda part: part.span)), missing, len(refused))

    def replay(self, pinned: PinnedChunk) -> Revealed:
        """The same chunk once more, from the very objects that were verified before.

        Raises:
            IntegrityError: an object is gone or is another one now.
            ServiceError: S3 does not give an object.
        """
        parts = (self._pinned(pinned.chunk, part) if isinstance(part, Pin) else part for part in pinned.parts)
        return Revealed(pinned.chunk, tuple(parts), (), 0)

    def _first_true(self, names: list[AnswerName], refused: list[tuple[Range, IntegrityError]]) -> Verified | None:
        for name in names:
            try:
                return self._verified(name)
            except IntegrityError as error:
                refused.append((span_of(name), error))
        return None

    def _verified(self, name: AnswerName) -> Verified:
        where = self._key(name)
        data = self._bucket.get(where, limit=MAX_SEALED)
        # 11. It was listed, so it must be there.
        if data is None:
            raise IntegrityError(Check.OBJECT_PRESENT, where)
        return verify_answers(data, where, self._expected(name.chunk, span_of(name)))

    def _pinned(self, chunk: int, item: Pin) -> Verified:
        data = self._bucket.get(item.where, limit=MAX_SEALED)
        # 28. The bytes are those that stood every check.
        if data is None or hashlib.sha256(data).digest() != item.digest:
            raise IntegrityError(Check.UNCHANGED, item.where)
        return verify_answers(data, item.where, self._expected(chunk, item.span))

    def _refuse_overlaid(
        self,
        uncovered: tuple[Range, ...],
        refused: list[tuple[Range, IntegrityError]],
        candidates: dict[Range, list[AnswerName]],
    ) -> None:
        """No uncovered record may lie under an object: a refused one, or one that overlaps its neighbours."""
        for span, error in refused:
            if any(span.meets(part) for part in uncovered):
                raise error
        # 24. Ranges tile the chunk: what overlaps a tile and reaches into a gap cannot be used.
        for span, names in candidates.items():
            if any(span.meets(part) for part in uncovered):
                raise IntegrityError(Check.EXACT_COVER, self._key(names[0]))

    def _expected(self, chunk: int, span: Range) -> Expected:
        entry = self.job.chunks.entry(chunk)
        return Expected(self.job, entry, self._ring[entry.keyset], span, self._receipts, self._now)

    def _key(self, name: AnswerName) -> str:
        manifest = self.job.manifest
        plain = ledger.answer_key(manifest.tenant, manifest.job, name.chunk, name.first, name.count)
        return plain if name.alternative is None else f"{plain}~{name.alternative}"


def open_ended(bucket: Bucket, kms: KmsClient, job: Job, trust: Trust, now_ms: int) -> Revealer:
    """What reveals a job of which every record has an outcome at that time.

    Raises:
        JobNotFinished: records have none yet.
        IntegrityError, ServiceError: as `unwrap_keys`. ServiceError: S3 does not list the bucket.
    """
    found = measure(bucket, job)
    if found.missing_records and not job.is_late(now_ms):
        raise JobNotFinished(found.missing, found.missing_records, found.records)
    return Revealer(bucket, job, unwrap_keys(kms, job), trust, now_ms)
