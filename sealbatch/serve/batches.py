"""Batches: jobs, as OpenAI's clients know them. A batch's id holds its job's ticket."""

import secrets
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aws_errors.service_error import ServiceError
from producer.errors import InputInvalid
from producer.validate import ValidationReport
from results_consumer.errors import IntegrityError, JobNotFinished
from results_consumer.status import JobState, JobStatus
from sealbatch.client import Client
from sealbatch.errors import stalled
from sealbatch.job import Job
from sealbatch.pieces import as_file
from sealbatch.questions import Questions
from sealbatch.serve.api_error import ApiError, missing
from sealbatch.serve.batch_fields import read_metadata, read_window
from sealbatch.serve.objects import make_batch, make_counts, make_errors, make_usage, page
from sealbatch.serve.outcomes import Outcome, Outcomes
from sealbatch.serve.vault import Upload

BATCH: Final = "batch_"
OUTPUT: Final = "file-output_"
ERRORS: Final = "file-errors_"
UNNAMED: Final = "file-unknown"
"""The name of a job under an idempotency key, where that of others is their input file's id."""
MAX_REMEMBERED: Final = 1000
"""Batches of which something is remembered: metadata, or why their input was refused."""
_WINDOW: Final = "24h"
_AT_ONCE: Final = 0.25
"""Seconds that a look waits for a verification: a small job's is over by then."""


class Batches:
    """All batches of this user, and what this process alone remembers of them: metadata, and those that were refused.

    Threads may share it.
    """

    def __init__(self, client: Client, outcomes: Outcomes) -> None:
        self._client = client
        self._outcomes = outcomes
        self._refused: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._said: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def create(self, upload: Upload, fields: dict[str, Any], key: str | None) -> dict[str, Any]:
        """Submit a file; one with invalid lines becomes a batch that failed, with each line's fault.

        Under a `key` that was used before, also by another process, it is the batch that was made then.

        Raises:
            ApiError: a field is missing or wrong. SealbatchError: as `Client.submit`.
        """
        window = read_window(fields)
        said = {
            "completion_window": window,
            "metadata": read_metadata(fields.get("metadata")),
            "input_file_id": upload.id,
        }
        # The same key with the same file, which has another id each time that it is uploaded, is the same submission.
        name = upload.id if key is None else UNNAMED
        questions = Questions(as_file(upload.blob.pieces()), format="jsonl")
        try:
            job = self._client.submit(questions, name=name, completion_window=window, idempotency_key=key)
        except InputInvalid as error:
            return self._refuse(error.report, said)
        self._remember(self._said, job.ticket, said)
        try:
            return self.describe(job)
        except ServiceError:
            # It is sent: a client that is told of a failure would ask for all of it once more.
            batch = make_batch(BATCH + job.ticket, int(time.time()), said)
            return batch | {"status": "in_progress", "request_counts": make_counts(0, 0, 0)}

    def get(self, name: str) -> dict[str, Any]:
        """A batch by its id.

        Raises:
            ApiError: there is none. SealbatchError: as `Job.status`.
        """
        with self._lock:
            refused = self._refused.get(name)
        return self.describe(self.job(name)) if refused is None else refused

    def cancel(self, name: str) -> dict[str, Any]:
        """End a batch; what is answered is kept.

        Raises:
            ApiError: there is none, or it has failed. SealbatchError: as `Job.cancel`.
        """
        with self._lock:
            if name in self._refused:
                raise ApiError(400, "The batch has failed; there is nothing to cancel.", code="not_cancelable")
        job = self.job(name)
        canceled = job.cancel().canceled
        self._outcomes.forget(job.ticket)
        found = self.describe(job)
        return found | {"status": "cancelling", "cancelling_at": int(time.time())} if canceled else found

    def list(self, after: str | None, limit: int) -> dict[str, Any]:
        """A page of batches, newest first.

        Raises:
            ApiError: `after` is none of them.
        """
        with self._lock:
            known = [(batch["created_at"], name) for name, batch in self._refused.items()]
        known += [(kept.created, BATCH + kept.ticket) for kept in self._client.jobs() if kept.name.startswith("file-")]
        names = [name for _, name in sorted(known, key=lambda one: one[0], reverse=True)]
        with ThreadPoolExecutor(8) as pool:
            return page(names, after, limit, lambda some: [one for one in pool.map(self._found, some) if one])

    def job(self, name: str) -> Job:
        """The job of a batch, or of one of its files.

        Raises:
            ApiError: it is none.
        """
        prefix, _, ticket = name.partition("_")
        if f"{prefix}_" not in {BATCH, OUTPUT, ERRORS} or not ticket.startswith("sb1-"):
            what = "batch" if name.startswith(BATCH) else "file"
            raise missing(what, name, f"{what}_id")
        return self._client.job(ticket)

    def outcome(self, job: Job, seconds: float) -> Outcome | None:
        """What a job came to, if it has ended and is verified; for that, `seconds` are waited.

        Raises:
            SealbatchError: as `Job.status` and `Job.fetch`.
        """
        return self._outcome(job, job.status(), seconds)

    def _outcome(self, job: Job, status: JobStatus, seconds: float) -> Outcome | None:
        if status.state is not JobState.COMPLETED:
            return None
        try:
            return self._outcomes.look(job, seconds)
        except JobNotFinished:  # it was asked again, and that has not ended
            return None

    def describe(self, job: Job) -> dict[str, Any]:
        """The batch object of a job.

        Raises:
            SealbatchError: as `Job.status`; also if S3 or KMS do not let it be verified.
        """
        status = job.status()
        found = self._base(job, status)
        try:
            outcome = self._outcome(job, status, _AT_ONCE)
        except IntegrityError as error:
            problem = {"message": str(error), "code": error.code}
            return found | {"status": "failed", "errors": make_errors(problem)}
        if outcome is None:
            ended = status.state is JobState.COMPLETED
            notice = status.notice if status.state is JobState.STALLED else None
            return found | {
                "status": "finalizing" if ended else "in_progress",
                "request_counts": make_counts(status.total, status.answered, status.failed_unattested),
                "errors": None if notice is None else make_errors({"code": notice.code, "message": stalled(notice)}),
            }
        summary = outcome.summary
        answered = summary.succeeded + summary.truncated
        state = "cancelled" if summary.canceled else "expired" if summary.expired else "completed"
        return found | {
            "status": state,
            f"{state}_at": outcome.verified,
            "output_file_id": OUTPUT + job.ticket if outcome.output_bytes else None,
            "error_file_id": ERRORS + job.ticket if outcome.error_bytes else None,
            "request_counts": make_counts(summary.records, answered, summary.records - answered),
            "model": summary.model or None,
            "usage": make_usage(summary.prompt_tokens, summary.completion_tokens),
        }

    def _base(self, job: Job, status: JobStatus) -> dict[str, Any]:
        with self._lock:
            said = self._said.get(job.ticket, {})
        created = status.created_ms // 1000
        expires = None if status.deadline_ms is None else status.deadline_ms // 1000
        window = _WINDOW if expires is None else f"{max(1, round((expires - created) / 3600))}h"
        unsaid = {"completion_window": window, "metadata": None, "input_file_id": status.name}
        batch = make_batch(BATCH + job.ticket, created, unsaid | said)
        return batch | {"in_progress_at": created, "expires_at": expires}

    def _found(self, name: str) -> dict[str, Any] | None:
        """A batch for a list; None if it is another stack's, or was purged."""
        try:
            return self.get(name)
        except IntegrityError:
            return None

    def _refuse(self, report: ValidationReport, said: dict[str, Any]) -> dict[str, Any]:
        now = int(time.time())
        problems = [
            {"code": str(one.code), "line": one.line, "message": one.message, "param": one.param}
            for one in report.problems
        ]
        batch = make_batch(f"{BATCH}{secrets.token_hex(12)}", now, said) | {
            "status": "failed",
            "failed_at": now,
            "errors": make_errors(*problems),
            "request_counts": make_counts(0, 0, 0),
        }
        self._remember(self._refused, batch["id"], batch)
        return batch

    def _remember(self, known: OrderedDict[str, dict[str, Any]], name: str, value: dict[str, Any]) -> None:
        with self._lock:
            known[name] = value
            while len(known) > MAX_REMEMBERED:
                known.popitem(last=False)
