"""One job, by its ticket."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from producer.submission import Submission
from results_consumer.fetch import FetchOptions, Only
from results_consumer.job import open_job
from results_consumer.keyring import unwrap_keys
from results_consumer.output import OutputForm
from results_consumer.retries import retry_jobs
from results_consumer.sink import Sink
from results_consumer.status import JobStatus, job_status
from results_consumer.tally import FetchSummary
from results_consumer.trust import Release
from sealbatch.arguments import check_types
from sealbatch.canceler import Canceled, cancel
from sealbatch.channel import Channel, pulled
from sealbatch.errors import OptionError
from sealbatch.failed_records import FailedRecords
from sealbatch.fetching import Fetching, open_sink
from sealbatch.formats import Format, Output, output_format
from sealbatch.intake import Intake
from sealbatch.progress import Limit, Pause, Progress, Told, ignore
from sealbatch.questions import Questions, Source
from sealbatch.result import Result
from sealbatch.waiting import wait_for
from wire.manifest import Retry
from wire.ticket import Ticket

if TYPE_CHECKING:
    import pyarrow as pa

    from sealbatch.client import Client


class Job:
    """A job that was submitted; `Client.submit` and `Client.job` make these.

    Nothing is kept here but the ticket: a job outlives the process, and `Client.job` finds it again.
    """

    def __init__(self, client: "Client", ticket: Ticket) -> None:
        self._client = client
        self._ticket = ticket

    def __repr__(self) -> str:
        return f"Job({self.ticket!r})"

    @property
    def ticket(self) -> str:
        """What whoever reads the answers proves with that nothing was exchanged or dropped. Keep it."""
        return str(self._ticket)

    @property
    def id(self) -> str:
        """The job's id, which the ticket begins with."""
        return self._ticket.job

    def status(self) -> JobStatus:
        """How far the job is, by what lies in the bucket; nothing is opened.

        Raises:
            IntegrityError: the job is not the ticket's. ServiceError: S3 does not answer.
        """
        return job_status(self._client.s3, self._client.config.reader(), self._ticket)

    def wait(self, timeout: float | None = None, *, progress: Told = ignore, pause: Pause = sleep) -> JobStatus:
        """Return when every record has an outcome; `timeout` is in seconds.

        An S3 that does not answer for a while is asked again. `pause` waits for seconds between two looks, and may
        raise to end it.

        Raises:
            WaitTimeout: the time is over. JobStalled: the host says that KMS refuses the enclave.
            IntegrityError, ServiceError: as `status`.

        >>> job = client.submit(["How many weeks of parental leave can I take?"])
        >>> job.wait(timeout=60).answered
        1
        """
        check_types(progress=progress)
        limit = Limit.of(timeout, pause)
        return wait_for(self._client.s3, self._client.config.reader(), self._ticket, limit, progress)

    def results(
        self,
        timeout: float | None = None,
        *,
        questions: Source | None = None,
        receipts: str | os.PathLike[str] | None = None,
        releases: Sequence[Release] = (),
        progress: Told = ignore,
        pause: Pause | None = None,
    ) -> Iterator[Result]:
        """Each record's result as it comes, verified, in the order of the questions.

        The arguments are those of `fetch`. `progress` is called by another thread. What was given out before an error
        was verified, and stays true. Leaving the loop early ends the reading and not the job.

        Raises:
            As `fetch`.

        >>> job = client.submit([{"custom_id": "leave", "question": "How many weeks of parental leave can I take?"}])
        >>> for result in job.results(timeout=60):
        ...     print(result.custom_id, result.outcome, result.attested)
        leave succeeded True
        """
        fetching = self._fetching(progress, releases, questions=questions, receipts=receipts)

        def push(channel: Channel) -> None:
            fetching.push(channel, Limit.of(timeout, pause or channel.pause))

        with closing(pulled(push)) as pieces:
            for piece in pieces:
                yield from map(Result.of_line, piece.splitlines())

    def fetch(
        self,
        output: Output,
        *,
        format: Format = "auto",  # noqa: A002 - as the command calls it
        only: str | None = None,
        questions: Source | None = None,
        receipts: str | os.PathLike[str] | None = None,
        releases: Sequence[Release] = (),
        overwrite: bool = False,
        follow: bool = False,
        timeout: float | None = None,
        progress: Told = ignore,
        pause: Pause = sleep,
    ) -> FetchSummary:
        """Verify the job and write its answers: a line or row for each record, or nothing at all.

        Args:
            output: a path, whose file appears when it is whole and is its owner's alone; or a binary stream.
            format: jsonl, csv or parquet; `auto` goes by the path's ending, and else is jsonl.
            only: write `ok`, `failed`, `truncated` or `answered` (ok and truncated) records only; all are verified.
            questions: every answer must match these; an outcome that the enclave has not attested gets its custom_id.
            receipts: folder in which what proves the answers is kept, for `verify`.
            releases: images to believe; none means the one that the job was sealed for.
            overwrite: replace an output and receipts that exist.
            follow: do not wait for the job's end: write lines as they come, to `output` with `.partial` behind its
                name, and go on where an earlier call was killed. Not for parquet.
            timeout: seconds to follow at most.
            progress: is told how far it is.
            pause: as for `wait`.

        Raises:
            JobNotFinished: records have no outcome yet, and `follow` is not set.
            IntegrityError: something is not what the ticket says it must be.
            ServiceError: AWS refuses, or does not answer. SinkError: the output cannot be written.
            WaitTimeout, JobStalled: as `wait`, while following.
            OptionError: an argument cannot be. NotInstalledError: parquet was asked for, and pyarrow is missing.
        """
        form = output_format(output, format)
        if form == "parquet" and follow:
            raise OptionError("follow", "is for lines; a Parquet file can be read only when it is whole")
        fetching = self._fetching(
            progress, releases, form=form, only=only, questions=questions, receipts=receipts, overwrite=overwrite
        )
        if follow:
            return fetching.into(output, Limit.of(timeout, pause), overwrite=overwrite)
        return fetching.whole(open_sink(output, form, overwrite=overwrite))

    def table(
        self, *, only: str | None = None, releases: Sequence[Release] = (), progress: Told = ignore
    ) -> "pa.Table":
        """The verified answers as a `pyarrow.Table`, a row for each record; `.to_pandas()` makes a DataFrame of it.

        Raises:
            As `fetch`.

        >>> job = client.submit(["How many weeks of parental leave can I take?"])
        >>> status = job.wait(timeout=60)
        >>> job.table().column("outcome").to_pylist()
        ['succeeded']
        """
        from sealbatch.arrow.answers import TableSink

        sink = TableSink()
        self.fetch_into(sink, only=only, releases=releases, progress=progress)
        return sink.table()

    def fetch_into(
        self, sink: Sink, *, only: str | None = None, releases: Sequence[Release] = (), progress: Told = ignore
    ) -> FetchSummary:
        """`fetch` as JSON lines into a sink, a line at a time."""
        return self._fetching(progress, releases, only=only).whole(sink)

    def cancel(self) -> Canceled:
        """End the job: what is answered is kept, and everything else is canceled. Canceling twice is no error.

        Raises:
            IntegrityError, ServiceError: as `status`; also if a mark cannot be written.
        """
        client = self._client
        return cancel(client.s3, client.config.reader(), client.producer, client.config.producer(), self._ticket)

    def retry(
        self,
        questions: Source,
        *,
        every: bool = False,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        chunk_size: int | None = None,
        deadline: datetime | str | None = None,
        completion_window: timedelta | str | None = None,
        not_before: datetime | str | None = None,
        progress: Told = ignore,
    ) -> "Job | None":
        """Ask what failed, expired or was canceled again, as a job linked to this one; None if nothing did.

        `questions` are the job's own: nobody but the enclave can open what was sealed of them. Only what may well
        succeed is asked again, or with `every` all that failed. Fetching this job gives all answers together. The
        other arguments are those of `Client.submit`.

        Raises:
            JobNotFinished: records have no outcome yet. IntegrityError: the questions are not this job's.
            OptionError: this job is a retry itself, or the questions can be read only once.
            Otherwise as `Client.submit` and `fetch`.
        """
        intake = Intake(
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            stop=stop,
            chunk_size=chunk_size,
            deadline=deadline,
            completion_window=completion_window,
            not_before=not_before,
        )
        submission = self.ask_again(questions, intake, every=every, progress=progress)
        return None if submission is None else Job(self._client, submission.sent_ticket())

    def ask_again(
        self, questions: Source, intake: Intake, *, every: bool, progress: Told = ignore
    ) -> Submission | None:
        """`retry` with its options in one, and all that there is to say of what was sent."""
        client, source = self._client, Questions.of(questions).again()
        parent = open_job(client.s3, client.config.reader(), self._ticket)
        if (first := parent.manifest.parameters.retry) is not None:
            raise OptionError("ticket", f"that job is a retry itself; retry the first one: {first.parent}")
        failed = FailedRecords(every=every)
        self._fetching(progress, questions=source).whole(failed)
        if not failed.ranges:
            return None
        retry = Retry(self._ticket.job, self._ticket.digest, tuple(failed.ranges))
        key = unwrap_keys(client.kms, parent)[0].key
        return client.send(source, intake, retry=retry, retry_key=key, progress=progress)

    def retries(self) -> list[str]:
        """The ids of jobs that call themselves a retry of this one; whether they are is found when it is fetched.

        Raises:
            ServiceError: S3 does not answer.
        """
        return retry_jobs(self._client.s3, self._client.config.reader(), self._ticket)

    def purge(self, *, dry_run: bool = False, progress: Told = ignore) -> int:
        """Remove the job's questions, answers and keys for good; how many objects that were. A tombstone stays.

        A `dry_run` counts and removes nothing.

        Raises:
            ServiceError: S3 did not remove everything; doing it again goes on.
        """
        from producer.purge import Purger

        purger = Purger(self._client.producer.s3, self._client.config.producer())
        if dry_run:
            return purger.count(self._ticket)
        return purger.purge(self._ticket, lambda done, total: progress(Progress("removing objects", done, total)))

    def _fetching(
        self,
        told: Told,
        releases: Sequence[Release] = (),
        *,
        form: str = "jsonl",
        only: str | None = None,
        questions: Source | None = None,
        receipts: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> Fetching:
        check_types(releases=releases, progress=told, receipts=receipts)
        if only is not None and only not in set(Only):
            raise OptionError("only", f"is one of {', '.join(Only)}")
        options = FetchOptions(
            form=OutputForm.CSV if form == "csv" else OutputForm.JSONL,
            only=None if only is None else Only(only),
            inputs=None if questions is None else Questions.of(questions).again().pairs,
            receipts=None if receipts is None else Path(receipts),
            replace_receipts=overwrite,
        )
        client = self._client
        return Fetching(client.s3, client.kms, client.config.reader(tuple(releases)), self._ticket, options, told)
