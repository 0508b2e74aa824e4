"""One job on its way into one output: the state that a chunk leaves behind, and how a later run takes it up again."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from aws_errors.service_error import ServiceError, ServiceKind
from results_consumer.bucket import Bucket
from results_consumer.completeness import leaf_of
from results_consumer.cover import total
from results_consumer.coverage import ChunkObjects, scan, span_of
from results_consumer.errors import Check, IntegrityError
from results_consumer.evidence import EvidenceFolder
from results_consumer.fetch import THREADS, FetchOptions, is_wanted
from results_consumer.growing import Growing, Mark
from results_consumer.job import Job
from results_consumer.keyring import AnswerKey
from results_consumer.lines import Lines
from results_consumer.match import CountedPairs, InputMatch
from results_consumer.output import encode_head, encode_line
from results_consumer.prefetch import ordered
from results_consumer.reveal import Revealed, Revealer
from results_consumer.silent import Silent
from results_consumer.status import fresh_notice
from results_consumer.tally import FetchSummary, Tally
from results_consumer.trust import Trust
from results_consumer.verify import Verified
from wire.ledger import Notice
from wire.payload import Outcome

_log: Final = logging.getLogger("sealbatch.results_consumer")


@dataclass(frozen=True, slots=True)
class Followed:
    """How far it is: of `total` records `answered` have an object in the bucket, and `written` are verified and out.

    `outcomes` counts those. `notice` is the bridge's fresh word why the job does not move, `outage` what S3 answered
    at the last look instead of an answer; both None if there is no such thing.
    """

    answered: int
    written: int
    total: int
    outcomes: dict[str, int] = field(default_factory=dict)
    notice: Notice | None = None
    outage: ServiceError | None = None


class Follower:
    """One job on its way into one output."""

    def __init__(
        self,
        *,
        bucket: Bucket,
        job: Job,
        ring: tuple[AnswerKey, ...],
        trust: Trust,
        output: Growing,
        options: FetchOptions,
        told: Callable[[Followed], None],
    ) -> None:
        self._bucket = bucket
        self._job = job
        self._ring = ring
        self._trust = trust
        self._output = output
        self._options = options
        self._told = told
        self._evidence: EvidenceFolder | None = None
        self._answered = 0
        self._moved = False
        self.looks = 0
        self._forget()

    def _forget(self) -> None:
        self.next = 0
        self._tally = Tally()
        self._lines = Lines(self._job)
        self._pairs = None if self._options.inputs is None else CountedPairs(self._options.inputs())
        self._match = None if self._pairs is None else InputMatch(iter(self._pairs))
        self._silent: dict[int, list[Silent]] = {}

    def begin(self, stack: ExitStack) -> None:
        """Go on where an earlier run ended."""
        options = self._options
        if options.receipts is None:
            self._resume(len(self._job.chunks))
            return
        folder = EvidenceFolder(
            options.receipts, self._job, overwrite=options.replace_receipts, lasting=self._output.rewinds
        )
        self._resume(len(self._job.chunks))
        if self._output.whole and folder.committed:
            return
        if not folder.begun:
            self._resume(0)
        self._evidence = stack.enter_context(folder)
        folder.forget_from(self.next)

    def finished(self) -> bool:
        """Whether every chunk is written, and none of them has an answer by now that it had not then."""
        if self.next < len(self._job.chunks):
            return False
        if not self._output.rewinds or self._output.whole:
            return True
        try:
            late = self._answered_later()
        except ServiceError as error:
            if error.kind is not ServiceKind.UNAVAILABLE:
                raise
            return False
        if late is not None:
            # The bridge had given records up, and another enclave answered them all the same.
            self._resume(late)
            if self._evidence is not None:
                self._evidence.forget_from(late)
        return late is None

    def look(self, now: int) -> ServiceError | None:
        """Write what is ready; what S3 answered instead, if it could not be asked."""
        try:
            self._write_ready(now)
            notice = None if self._moved else fresh_notice(self._bucket, self._job, now)
        except ServiceError as error:
            if error.kind is not ServiceKind.UNAVAILABLE:
                raise
            self._tell(outage=error)
            return error
        self.looks += 1
        self._tell(notice=notice)
        return None

    def end(self) -> FetchSummary:
        """Make evidence and output final."""
        if self._match is not None and not self._output.whole:
            self._match.end()
        self._output.end()
        if self._evidence is not None:
            for chunk, parts in sorted(self._silent.items()):
                for part in parts:
                    self._evidence.keep(chunk, part)
            self._evidence.commit()
        self._output.commit()
        summary = self._tally.summary(self._job.manifest.job)
        _log.info("followed job=%s records=%d ignored=%d", summary.job, summary.records, summary.ignored)
        return summary

    def _write_ready(self, now: int) -> None:
        """Write all chunks up to the first that lacks an outcome; count what lies there of the others."""
        found = scan(self._bucket, self._job, self.next)
        waiting: list[ChunkObjects] = []
        revealer = Revealer(self._bucket, self._job, self._ring, self._trust, now)
        ready = _ready(found, waiting, late=self._job.is_late(now))
        self._moved = False
        with closing(ordered(revealer.reveal, ready, threads=THREADS)) as chunks:
            for revealed in chunks:
                if revealed.missing:
                    return  # somebody took it away since it was listed
                self._write(revealed)
        answered = sum(one.span.count - total(one.missing) for one in chain(waiting, found))
        self._answered = self._tally.records + answered

    def _write(self, revealed: Revealed) -> None:
        """Write a chunk's lines and its mark."""
        tally, data = Tally(), bytearray()
        for part in revealed.parts:
            if self._evidence is not None and isinstance(part, Verified):
                self._evidence.keep(revealed.chunk, part)
        if revealed.chunk == 0:
            data += encode_head(self._options.form)
        for line in self._lines.of(revealed):
            matched = line if self._match is None else self._match.matched(line)
            tally.add(matched)
            if is_wanted(matched, self._options.only):
                data += encode_line(matched, self._options.form)
                tally.written += 1
        if self._match is not None:
            self._match.refuse_difference()
        tally.ignored = revealed.ignored
        mark = self._mark(revealed, tally)
        self._output.append(bytes(data), mark)
        self._count(mark)
        self._moved = True
        self._tell()

    def _mark(self, revealed: Revealed, tally: Tally) -> Mark:
        by, parts = self._lines.answered_by, revealed.parts
        return {
            "chunk": revealed.chunk,
            "tally": tally.state(),
            "leaves": [[leaf_of(revealed.chunk, part).hex(), isinstance(part, Verified)] for part in parts],
            "by": None if by is None else [digest.hex() for digest in by],
            "silent": [part.values() for part in parts if isinstance(part, Silent)],
            "pairs": None if self._pairs is None else self._pairs.digest(),
        }

    def _resume(self, before: int) -> None:
        """Take back what was written of the chunks below `before`."""
        self._forget()
        self._output.replay(lambda mark: self._take_back(mark, before))

    def _take_back(self, mark: Mark, before: int) -> bool:
        """Count a chunk that was written before; False if it does not follow, or was matched with another input."""
        if mark["chunk"] != self.next or self.next >= before:
            return False
        if self._match is not None and self._pairs is not None:
            self._match.skip(self._job.chunks.span(self.next).count)
            if self._pairs.digest() != mark["pairs"]:
                raise _another_input(self._job, self.next)
        if mark["by"] is not None:
            model, template = map(bytes.fromhex, mark["by"])
            self._lines.answered_by = model, template
        self._count(mark)
        return True

    def _count(self, mark: Mark) -> None:
        self._tally.merge(mark["tally"])
        for leaf, receipt in mark["leaves"]:
            self._tally.add_part(bytes.fromhex(leaf), receipt=receipt)
        if mark["silent"]:
            self._silent[mark["chunk"]] = [Silent.of(*values) for values in mark["silent"]]
        self.next += 1

    def _answered_later(self) -> int | None:
        """The first chunk with an answer to records that had none when it was written; deadlines are not undone."""
        spans = {
            chunk: [part.span for part in parts if part.outcome is not Outcome.EXPIRED]
            for chunk, parts in self._silent.items()
        }
        chunks = [chunk for chunk, found in spans.items() if found]
        if not chunks:
            return None
        for one in scan(self._bucket, self._job, min(chunks)):
            if any(span_of(name).meets(span) for name in one.answers for span in spans.get(one.chunk, ())):
                return one.chunk
        return None

    def _tell(self, notice: Notice | None = None, outage: ServiceError | None = None) -> None:
        written, total = self._tally.records, self._job.manifest.records
        self._told(Followed(max(self._answered, written), written, total, self._tally.outcomes, notice, outage))


def _ready(found: Iterator[ChunkObjects], waiting: list[ChunkObjects], *, late: bool) -> Iterator[ChunkObjects]:
    """The chunks up to the first that lacks an outcome, which is put into `waiting`."""
    for one in found:
        if one.missing and not late:
            waiting.append(one)
            return
        yield one


def _another_input(job: Job, chunk: int) -> IntegrityError:
    span = job.chunks.span(chunk)
    return IntegrityError(Check.INPUT, f"{span}, which were written beside another input; --force begins anew")
