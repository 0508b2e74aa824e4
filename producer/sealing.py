"""Seals an input chunk by chunk into the spool while it is being checked."""

import hashlib
import os
from collections.abc import Callable, Iterable

from producer.chunks import ChunkLimits, split
from producer.keyset import Keyset
from producer.problem import Problem
from producer.settings import ProducerSettings
from producer.spool import Spool
from producer.validate import Tally
from wire.envelope import seal
from wire.header import QuestionHeader
from wire.payload import QuestionPayload, Record


class Sealer:
    """Seals chunks under one keyset, which is asked for when there is something to seal."""

    def __init__(self, settings: ProducerSettings, job: str, make_keyset: Callable[[], Keyset], spool: Spool) -> None:
        self._settings = settings
        self._job = job
        self._make_keyset = make_keyset
        self._spool = spool
        self.keyset: Keyset | None = None

    def seal(self, records: tuple[Record, ...]) -> None:
        """Seal the next chunk.

        Raises:
            ServiceError: there was no keyset to be had.
            SpoolError: the disk is full.
        """
        self.keyset = self.keyset or self._make_keyset()
        sealed = seal_chunk(self.keyset, self._settings, self._job, len(self._spool), records)
        digest = hashlib.sha256(sealed).digest()
        self._spool.append(sealed, first=records[0].number, count=len(records), digest=digest)


def seal_chunk(keyset: Keyset, settings: ProducerSettings, job: str, number: int, records: tuple[Record, ...]) -> bytes:
    """The sealed chunk `number` of a job."""
    payload = QuestionPayload(
        answer_key=keyset.answer_key,
        answer_key_arn=keyset.public.answer_key_arn,
        answer_wrapped_digest=keyset.answer_wrapped_digest,
        salt=os.urandom(32),
        records=records,
    ).encode()
    header = QuestionHeader(
        tenant=settings.tenant,
        job=job,
        image=settings.image,
        chunk=number,
        first=records[0].number,
        count=len(records),
        key_arn=keyset.public.question_key_arn,
        wrapped=keyset.public.question_wrapped,
    )
    return seal(header, keyset.question_key, payload)


def seal_all(
    items: Iterable[Record | Problem],
    tally: Tally,
    limits: ChunkLimits,
    sealer: Sealer,
    *,
    skip_invalid: bool,
    progress: Callable[[int], None],
) -> bool:
    """Count all items and seal them as long as nothing stands against the input; whether nothing does.

    After the first problem the rest is still read, for the report, but nothing more is sealed.

    Raises:
        ServiceError: there was no keyset to be had.
        SpoolError: the disk is full.
    """

    def refused() -> bool:
        return tally.fatal or (tally.problem_count > 0 and not skip_invalid)

    counted = tally.counted(items, progress)
    for chunk in split((item for item in counted if isinstance(item, Record) and not refused()), limits):
        if not refused():
            sealer.seal(chunk)
    return not refused() and tally.records > 0
