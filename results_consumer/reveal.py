"""From the names that lie in the bucket for a chunk to its verified answers.

A foreign object at an answer's key must not hide the true answers, which the bridge then puts beside it: candidates
are tried until one is true, the plain key first, then the alternatives in order. One that fails is remembered. It
counts as ignored if verified answers cover its records all the same, and fails the job if they do not.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from results_consumer.bucket import Bucket
from results_consumer.cover import Range, gaps, tiling
from results_consumer.coverage import ChunkObjects, span_of
from results_consumer.errors import Check, IntegrityError
from results_consumer.job import Job
from results_consumer.keyring import AnswerKey
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
    """All that is known about a chunk's records: together the three cover them exactly.

    `ignored` counts objects at answers' keys that failed a check and were not needed.
    """

    chunk: int
    verified: tuple[Verified, ...]
    silent: tuple[Silent, ...]
    missing: tuple[Range, ...]
    ignored: int

    def parts(self) -> list[Verified | Silent]:
        """What is known about its records, in their order."""
        parts: list[Verified | Silent] = [*self.verified, *self.silent]
        return sorted(parts, key=lambda part: part.span)


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
    pins: tuple[Pin, ...]
    silent: tuple[Silent, ...]


def pin(revealed: Revealed) -> PinnedChunk:
    """What is kept of a chunk between verifying and writing."""
    pins = tuple(Pin(item.span, item.where, item.digest) for item in revealed.verified)
    return PinnedChunk(revealed.chunk, pins, revealed.silent)


class Revealer:
    """Reveals chunks of one job. Holds no state between calls, so that threads may share it."""

    def __init__(
        self, bucket: Bucket, job: Job, ring: tuple[AnswerKey, ...], trust: Trust, now: datetime, *, late: bool
    ) -> None:
        self._bucket = bucket
        self._job = job
        self._ring = ring
        self._receipts = ReceiptVerifier(trust)
        self._now = now
        self._late = late

    def reveal(self, found: ChunkObjects) -> Revealed:
        """Verify the answers to a chunk: checks 11 to 24 and 29 of `errors.Check`.

        Raises:
            IntegrityError: records are covered by objects of which none stands the checks, or not exactly.
            ServiceError: S3 does not give an object.
        """
        span = self._job.chunks.span(found.chunk)
        candidates: dict[Range, list[AnswerName]] = {}
        for name in found.answers:
            candidates.setdefault(span_of(name), []).append(name)
        verified: dict[Range, Verified] = {}
        refused: list[tuple[Range, IntegrityError]] = []
        while undecided := [tile for tile in tiling(span, candidates) if tile not in verified]:
            for tile in undecided:
                answers = self._first_true(candidates[tile], refused)
                if answers is None:
                    del candidates[tile]  # and see whether others cover its records
                else:
                    verified[tile] = answers
        tiles = tiling(span, candidates)
        uncovered = gaps(span, tiles)
        self._refuse_overlaid(uncovered, refused, candidates)
        silent, missing = explain(self._bucket, self._job, found.failures, uncovered)
        if self._late:
            silent += tuple(Silent(part, Outcome.EXPIRED, None) for part in missing)
            missing = ()
        return Revealed(found.chunk, tuple(verified[tile] for tile in tiles), silent, missing, len(refused))

    def replay(self, pinned: PinnedChunk) -> Revealed:
        """The same chunk once more, from the very objects that were verified before.

        Raises:
            IntegrityError: an object is gone or is another one now.
            ServiceError: S3 does not give an object.
        """
        verified = tuple(self._pinned(pinned.chunk, item) for item in pinned.pins)
        return Revealed(pinned.chunk, verified, pinned.silent, (), 0)

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
        entry = self._job.chunks.entry(chunk)
        return Expected(self._job, entry, self._ring[entry.keyset], span, self._receipts, self._now)

    def _key(self, name: AnswerName) -> str:
        manifest = self._job.manifest
        plain = ledger.answer_key(manifest.tenant, manifest.job, name.chunk, name.first, name.count)
        return plain if name.alternative is None else f"{plain}~{name.alternative}"
