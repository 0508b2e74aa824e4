"""From a revealed chunk to its output lines, in the order of record numbers."""

import hashlib
from collections.abc import Iterator

from results_consumer.errors import Check, IntegrityError
from results_consumer.job import Job
from results_consumer.output import LineOrigin, OutputLine, attested_line, unattested_line
from results_consumer.reveal import Revealed
from results_consumer.silent import Silent
from results_consumer.verify import Verified


class Lines:
    """Makes the lines of one job, and sees to it that one model and one template answered all of it.

    `answered_by` are the digests of the two, once anything is answered; whoever goes on with a job sets them.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.answered_by: tuple[bytes, bytes] | None = None

    def of(self, revealed: Revealed) -> Iterator[OutputLine]:
        """The lines of a chunk.

        Raises:
            IntegrityError: another model or template than before.
        """
        for part in revealed.parts:
            if isinstance(part, Verified):
                self._check(part)
                yield from self._attested(revealed.chunk, part)
            else:
                yield from self._unattested(revealed.chunk, part)

    def _check(self, part: Verified) -> None:
        self.answered_by = self.answered_by or (part.model, part.template)
        model, template = self.answered_by
        # 25. One model.
        if part.model != model:
            raise IntegrityError(Check.MODEL, part.where)
        # 26. One template: the same question would get another answer under another.
        if part.template != template:
            raise IntegrityError(Check.TEMPLATE, part.where)

    def _attested(self, chunk: int, part: Verified) -> Iterator[OutputLine]:
        model = f"{part.payload.model_name}@sha256:{part.model.hex()}"
        origin = self._origin(chunk, model, hashlib.sha256(part.receipt_bytes).hexdigest())
        for result in part.payload.results:
            yield attested_line(origin, result)

    def _unattested(self, chunk: int, part: Silent) -> Iterator[OutputLine]:
        origin = self._origin(chunk)
        for number in range(part.span.first, part.span.end):
            yield unattested_line(origin, number, part.outcome, part.code)

    def _origin(self, chunk: int, model: str = "", receipt: str | None = None) -> LineOrigin:
        manifest = self._job.manifest
        return LineOrigin(manifest.job, chunk, manifest.created_ms // 1000, model, receipt)
