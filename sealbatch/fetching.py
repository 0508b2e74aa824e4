"""The ways in which a job's answers are fetched: when it has ended, as they come, or both one after the other."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from results_consumer.errors import JobNotFinished
from results_consumer.fetch import FetchOptions, FetchProgress, fetch
from results_consumer.follow import follow, identity
from results_consumer.follower import Followed
from results_consumer.growing import Growing, GrowingStream
from results_consumer.growing_file import GrowingFile
from results_consumer.pace import Pace
from results_consumer.retries import retry_jobs
from results_consumer.settings import ReaderSettings
from results_consumer.sink import FileSink, Sink, StreamSink
from results_consumer.tally import FetchSummary
from sealbatch.channel import Channel
from sealbatch.errors import WaitTimeout, refuse_stalled
from sealbatch.formats import Output
from sealbatch.progress import Limit, Progress, Told
from sealbatch.waiting import NO_ANSWER, wait_for
from wire.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Fetching:
    """One job, the clients to read it with, and how."""

    s3: Any
    kms: Any
    settings: ReaderSettings
    ticket: Ticket
    options: FetchOptions
    told: Told

    def whole(self, sink: Sink) -> FetchSummary:
        """Verify and open a job that has ended.

        Raises:
            ReaderError, ServiceError: as `results_consumer.fetch.fetch`.
        """

        def tell(state: FetchProgress) -> None:
            what = "writing" if state.writing else "verifying"
            self.told(Progress(what, state.done, state.total, _counted(state.outcomes)))

        return fetch(self.s3, self.kms, self.settings, self.ticket, sink, options=self.options, told=tell)

    def when_ended(self, sink: Callable[[], Sink], limit: Limit) -> FetchSummary:
        """Wait until a job and its retries have ended, then fetch them.

        Raises:
            WaitTimeout, JobStalled, ReaderError, ServiceError: as `wait_for` and `whole`.
        """
        wait_for(self.s3, self.settings, self.ticket, limit, self.told)
        pace = Pace()
        while True:
            try:
                return self.whole(sink())
            except JobNotFinished as error:
                if limit.over:
                    raise WaitTimeout(error.records - error.missing_records, error.records, self.ticket) from None
                limit.wait(pace.after(moved=False))

    def as_it_runs(self, output: Growing, limit: Limit) -> FetchSummary:
        """Verify and open a job while it runs.

        Raises:
            WaitTimeout: the time is over. JobStalled: the bridge says that KMS refuses the enclave.
            ReaderError, ServiceError: as `results_consumer.follow.follow`.
        """

        def tell(state: Followed) -> None:
            note = _counted(state.outcomes) if state.outage is None else NO_ANSWER
            self.told(Progress("answered", state.answered, state.total, note))
            self.told(Progress("verified", state.written, state.total, note))
            if state.written < state.total:
                refuse_stalled(state.notice, self.ticket)
                if limit.over:
                    raise WaitTimeout(state.answered, state.total, self.ticket)

        clients = self.s3, self.kms
        return follow(*clients, self.settings, self.ticket, output, options=self.options, told=tell, pause=limit.wait)

    def into(self, output: Output, limit: Limit, *, overwrite: bool) -> FetchSummary:
        """Write a job as it runs; one that was retried, when it and its retries have ended.

        Raises:
            WaitTimeout, JobStalled, ReaderError, ServiceError: as above.
        """
        path = output if isinstance(output, str | os.PathLike) else None
        if self.has_retries():
            # It had ended when somebody had it retried; a retry's lines belong in the place of its own.
            form = str(self.options.form)
            summary = self.when_ended(lambda: open_sink(output, form, overwrite=overwrite), limit)
            if path is not None:
                GrowingFile.discard(os.fspath(path))
            return summary
        if isinstance(output, str | os.PathLike):
            mark = identity(self.ticket, self.settings, self.options)
            return self.as_it_runs(GrowingFile(output, mark, overwrite=overwrite), limit)
        return self.as_it_runs(GrowingStream(output), limit)

    def push(self, channel: Channel, limit: Limit) -> FetchSummary:
        """The same into a channel.

        Raises:
            WaitTimeout, JobStalled, ReaderError, ServiceError: as above.
        """
        return self.when_ended(lambda: channel, limit) if self.has_retries() else self.as_it_runs(channel, limit)

    def has_retries(self) -> bool:
        """Whether something calls itself a retry of the job.

        Raises:
            ServiceError: S3 does not answer.
        """
        return bool(retry_jobs(self.s3, self.settings, self.ticket))


def open_sink(output: Output, form: str, *, overwrite: bool) -> Sink:
    """Where a whole output of a form goes.

    Raises:
        NotInstalledError: it is parquet, and pyarrow is missing.
    """
    whole: Sink = FileSink(output, overwrite=overwrite) if isinstance(output, str | os.PathLike) else StreamSink(output)
    if form != "parquet":
        return whole
    from sealbatch.arrow.answers import ParquetSink

    return ParquetSink(whole)


def _counted(outcomes: Mapping[str, int]) -> str:
    """How many of each outcome, in words."""
    return ", ".join(f"{count:,} {name}" for name, count in outcomes.items() if count)
