"""What submit, wait, fetch and run share: each of them is a step of the same path."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from producer.chunks import ChunkLimits
from producer.clients import Clients
from producer.errors import InputInvalid
from producer.forms import InputForm
from producer.lookup import Idempotency
from producer.pins import Pin
from producer.settings import ProducerSettings
from producer.submission import Phase, Submission, SubmitOptions, SubmitProgress
from results_consumer.errors import JobNotFinished, ServiceError, ServiceKind
from results_consumer.fetch import FetchOptions, FetchProgress, fetch
from results_consumer.follow import follow
from results_consumer.follower import Followed
from results_consumer.growing import Growing
from results_consumer.job import open_job
from results_consumer.pace import Pace
from results_consumer.sink import Sink
from results_consumer.status import JobState, JobStatus, status_of
from results_consumer.tally import FetchSummary
from results_consumer.trust import Release
from sealbatch.config import Config
from sealbatch.exits import Exit
from sealbatch.face import Face
from sealbatch.faults import Stop
from sealbatch.meter import Meter
from sealbatch.screen import Screen
from sealbatch.times import JobTimes
from sealbatch.verbs.questions import show_notes, show_problems
from wire.ledger import Notice
from wire.manifest import Parameters, Retry
from wire.payload import Params
from wire.ticket import Ticket

NO_ANSWER = "S3 does not answer; asking again"

_PHASES = {Phase.SEAL: "sealing records", Phase.UPLOAD: "storing chunks", Phase.SEND: "sending chunks"}


@dataclass(frozen=True, slots=True)
class Intake:
    """What to submit: an input, how to read it, and what holds where it says nothing."""

    path: str
    form: InputForm
    params: Params
    name: str = ""
    chunk_size: int | None = None
    skip_invalid: bool = False
    dry_run: bool = False
    times: JobTimes = field(default_factory=JobTimes)
    idempotency: Idempotency | None = None
    retry: Retry | None = None
    retry_key: bytes | None = field(default=None, repr=False)
    """The first answer key of the job that is repeated."""
    required: tuple[Pin, ...] = ()
    """PCR0s of the only images that the keys' policies may admit; empty leaves the policies unread."""

    def options(self) -> SubmitOptions:
        """As the producer takes them.

        Raises:
            Stop: the name is too long, or a time is none.
        """
        limits = ChunkLimits() if self.chunk_size is None else ChunkLimits(records=self.chunk_size)
        try:
            deadline, not_before = self.times.resolve(time.time_ns() // 1_000_000)
            return SubmitOptions(
                limits=limits,
                parameters=Parameters(self.name, deadline, not_before, self.retry),
                skip_invalid=self.skip_invalid,
                dry_run=self.dry_run,
                idempotency=self.idempotency,
                retry_key=self.retry_key,
            )
        except ValueError as error:
            raise Stop(Exit.USAGE, f"--{error}") from None


def submit_job(face: Face, screen: Screen, config: Config, source: BinaryIO, intake: Intake) -> Submission:
    """Seal and send, with progress; the ticket is kept as soon as the job exists.

    Raises:
        InputInvalid: the problems were shown.
        ProducerError: as `producer.submit.submit`.
    """
    from producer.submit import submit
    from sealbatch.clients import producer_clients

    settings = config.producer()
    clients = None if intake.dry_run else producer_clients(config)
    if intake.required:
        _require(settings, intake.required, clients)
    kept = False

    with _showing_problems(screen, intake.path), screen.meter() as meter:

        def progress(state: SubmitProgress) -> None:
            nonlocal kept
            meter.update(_PHASES[state.phase], state.done, state.total)
            if state.ticket is not None and not kept:
                # Before the first message goes out: whatever happens now, the job can be found again.
                kept = True
                face.tickets().keep(state.ticket, intake.name, 0)

        submission = submit(source, intake.form, intake.params, intake.options(), settings, clients, progress)
    show_notes(screen, submission.report)
    if submission.skipped:
        screen.say(f"note: {submission.skipped:,} invalid lines get an error for an answer")
    return submission


def _require(settings: ProducerSettings, required: tuple[Pin, ...], clients: Clients | None) -> None:
    """The image that is sealed for is a required one, and neither key's policy admits any other."""
    from producer.key_guard import require_images

    if settings.image not in {pin.image for pin in required}:
        raise Stop(
            Exit.USAGE, f"--require-pcr0: the configured image is {settings.image[:16]}..., which is none of them"
        )
    if clients is not None:
        require_images(clients.kms, settings, required)


@contextmanager
def _showing_problems(screen: Screen, path: str) -> Iterator[None]:
    try:
        yield
    except InputInvalid as error:
        show_problems(screen, path, error.report)
        raise


def wait_for(screen: Screen, config: Config, s3: Any, ticket: Ticket, *, timeout: float | None = None) -> JobStatus:
    """Wait until every record has an outcome, with progress. An S3 that does not answer for a while is asked again.

    Raises:
        Stop: the time is over, or the bridge says that KMS refuses the enclave.
        ReaderError: as `results_consumer.status.job_status`, at the first look if S3 does not answer.
    """
    settings = config.reader()
    job = open_job(s3, settings, ticket)
    deadline = None if timeout is None else time.monotonic() + timeout
    total = job.manifest.records
    pace, before, done = Pace(), 0, -1
    with screen.meter() as meter:
        while True:
            try:
                status = status_of(s3, settings, job)
            except ServiceError as error:
                if error.kind is not ServiceKind.UNAVAILABLE or done < 0:
                    raise
                meter.update("answered", done, total, NO_ANSWER)
            else:
                done = status.answered + status.failed_unattested
                meter.update("answered", done, total)
                if status.state is JobState.COMPLETED:
                    return status
                if status.state is JobState.STALLED:
                    _refuse_stalled(status.notice, ticket)
            _refuse_late(deadline, done, total, ticket)
            pause = pace.after(moved=done > before)
            time.sleep(pause if deadline is None else max(0.0, min(pause, deadline - time.monotonic())))
            before = done


def _refuse_stalled(notice: Notice | None, ticket: Ticket) -> None:
    """A job that KMS refuses stays where it is until a person has changed something."""
    if notice is not None and notice.code != "kms_unavailable":
        raise Stop(Exit.NO_PERMISSION, f"{stalled(notice)}\nthe job stays; go on with the ticket {ticket}")


def _refuse_late(deadline: float | None, done: int, total: int, ticket: Ticket) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise Stop(Exit.TIMEOUT, f"{done:,} of {total:,} records are answered; the ticket is {ticket}")


def stalled(notice: Notice) -> str:
    """Why a job does not move, in words for whoever can change it.

    It is the host's word, and a host may lie: nobody is to admit an image because this names it.
    """
    match notice.code:
        case "key_denied":
            return (
                f"the host says that KMS refused the enclave: the key policy of {notice.key_arn} does not admit the "
                f"image {notice.image}. If your own release files name this PCR0, add it to the policy "
                "(sealbatch policy render), and the bridge goes on by itself; if not, the host runs another image"
            )
        case "wrong_image":
            return (
                f"the host says that the questions were sealed for another image than the enclave's, which is "
                f"{notice.image}. If your own release files name this PCR0, set `image` to it and submit again"
            )
        case "key_invalid":
            return f"KMS does not accept the wrapped key of {notice.key_arn}: deleted, disabled, or of another key"
        case _:
            return "KMS does not answer the bridge; it tries again by itself"


def fetch_job(
    screen: Screen,
    config: Config,
    s3: Any,
    ticket: Ticket,
    sink: Sink,
    options: FetchOptions | None = None,
    releases: tuple[Release, ...] = (),
) -> FetchSummary:
    """Verify and open a job, with progress; its receipts must be of one of `releases`, if there are any.

    Raises:
        ReaderError: as `results_consumer.fetch.fetch`.
    """
    from sealbatch.clients import reader_kms

    with screen.meter() as meter:
        options = replace(options or FetchOptions(), progress=_telling(meter))
        summary = fetch(s3, reader_kms(config), config.reader(releases), ticket, sink, options=options)
    warn_of_development(screen, config)
    return summary


def follow_job(
    screen: Screen,
    config: Config,
    s3: Any,
    ticket: Ticket,
    output: Growing,
    options: FetchOptions,
    releases: tuple[Release, ...] = (),
    *,
    timeout: float | None = None,
) -> FetchSummary:
    """Verify and open a job while it runs, with progress.

    Raises:
        Stop: the time is over, or the bridge says that KMS refuses the enclave.
        ReaderError: as `results_consumer.follow.follow`.
    """
    from sealbatch.clients import reader_kms

    deadline = None if timeout is None else time.monotonic() + timeout

    def pause(seconds: float) -> None:
        time.sleep(seconds if deadline is None else max(0.0, min(seconds, deadline - time.monotonic())))

    with screen.meter() as meter:

        def tell(state: Followed) -> None:
            note = ", ".join(f"{count:,} {name}" for name, count in state.outcomes.items())
            if state.outage is not None:
                note = NO_ANSWER
            meter.update("answered", state.answered, state.total, note)
            meter.update("verified", state.written, state.total, note)
            if state.written < state.total:
                _refuse_stalled(state.notice, ticket)
                _refuse_late(deadline, state.answered, state.total, ticket)

        reader = config.reader(releases)
        summary = follow(s3, reader_kms(config), reader, ticket, output, options=options, told=tell, pause=pause)
    warn_of_development(screen, config)
    return summary


def fetch_when_ended(
    screen: Screen,
    config: Config,
    s3: Any,
    ticket: Ticket,
    sink: Callable[[], Sink],
    options: FetchOptions,
    releases: tuple[Release, ...],
    timeout: float | None,
) -> FetchSummary:
    """Wait until a job and its retries have ended, then fetch them.

    Raises:
        Stop, ReaderError: as `wait_for` and `fetch_job`.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    wait_for(screen, config, s3, ticket, timeout=timeout)
    pace = Pace()
    while True:
        try:
            return fetch_job(screen, config, s3, ticket, sink(), options, releases)
        except JobNotFinished as error:
            _refuse_late(deadline, error.records - error.missing_records, error.records, ticket)
            time.sleep(pace.after(moved=False))


def warn_of_development(screen: Screen, config: Config) -> None:
    """Say so where receipts prove little."""
    if config.resources.attestation_root is not None:
        screen.say("WARNING: receipts were believed under a development root: this proves a protocol, and no hardware")


def _telling(meter: Meter) -> Callable[[FetchProgress], None]:
    def tell(state: FetchProgress) -> None:
        meter.update("writing" if state.writing else "verifying", state.done, state.total)

    return tell


def show_summary(screen: Screen, summary: FetchSummary, where: str) -> None:
    """What the job came to, in one line, and its most frequent errors."""
    counts = {
        "succeeded": summary.succeeded,
        "truncated": summary.truncated,
        "errored": summary.errored,
        "expired": summary.expired,
        "canceled": summary.canceled,
    }
    text = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name == "succeeded")
    screen.say(f"{summary.records:,} records: {text}; {summary.completion_tokens:,} tokens written; in {where}")
    for code, count in summary.error_codes:
        screen.say(f"  {count:,} x {code}")
    attested = summary.records - summary.unattested
    screen.say(
        f"complete: one outcome for each record, {attested:,} under {summary.receipts:,} verified receipts; "
        f"root {summary.root.hex()[:16]}..."
    )
    if summary.unattested:
        screen.say(f"  {summary.unattested:,} outcomes are the bridge's word and not the enclave's (attested: false)")
    if summary.ignored:
        screen.say(f"  {summary.ignored:,} foreign objects lay beside true answers and were ignored")


def exit_for(summary: FetchSummary) -> Exit:
    """The exit code that tells what a job came to."""
    if summary.all_succeeded:
        return Exit.OK
    if summary.expired == summary.records:
        return Exit.EXPIRED
    if summary.canceled == summary.records:
        return Exit.CANCELED
    return Exit.PARTIAL if summary.succeeded or summary.truncated else Exit.FAILED


@contextmanager
def resumable(again: str) -> Iterator[None]:
    """Ctrl-C inside says how to go on: by typing `again`."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stop(Exit.INTERRUPTED, f"interrupted; the job goes on, and so can you:\n  sealbatch {again}") from None
