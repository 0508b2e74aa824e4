"""What submit, run, ask, wait and fetch show of the Python API's work, and how they end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from producer.errors import InputInvalid
from producer.submission import Submission
from results_consumer.status import JobStatus
from results_consumer.tally import FetchSummary
from sealbatch.client import Client
from sealbatch.exits import Exit, Stop
from sealbatch.failed_records import GONE_FOR_GOOD
from sealbatch.formats import Output
from sealbatch.intake import Intake
from sealbatch.job import Job
from sealbatch.progress import ignore
from sealbatch.questions import Questions
from sealbatch.terminal.screen import Screen
from sealbatch.verbs.output import verifying
from sealbatch.verbs.questions import show_notes, show_problems


def submit_job(
    screen: Screen, client: Client, path: str, questions: Questions, intake: Intake, *, dry_run: bool = False
) -> Submission:
    """Seal and send what stands in `path`, with progress.

    Raises:
        InputInvalid: the problems were shown.
        SealbatchError: as `Client.submit`.
    """
    with showing_problems(screen, path), screen.progress() as tell:
        submission = client.send(questions, intake, dry_run=dry_run, progress=tell)
    show_notes(screen, submission.report)
    if submission.skipped:
        screen.say(f"note: {submission.skipped:,} invalid lines get an error for an answer")
    return submission


@contextmanager
def showing_problems(screen: Screen, path: str) -> Iterator[None]:
    """Show what is wrong with an input that is refused inside."""
    try:
        yield
    except InputInvalid as error:
        show_problems(screen, path, error.report)
        raise


def wait_for(screen: Screen, job: Job, *, timeout: float | None = None) -> JobStatus:
    """Wait until every record has an outcome, with progress.

    Raises:
        SealbatchError: as `Job.wait`.
    """
    with screen.progress() as tell:
        return job.wait(timeout, progress=tell)


def fetch_job(screen: Screen, client: Client, job: Job, output: Output, **options: Any) -> FetchSummary:
    """Fetch a job with the options of `Job.fetch`, with progress.

    Raises:
        SealbatchError: as `Job.fetch`.
    """
    # Bars cannot be drawn where answers appear between them.
    with nullcontext(ignore) if output is sys.stdout.buffer and sys.stdout.isatty() else screen.progress() as tell:
        summary = job.fetch(output, **options, progress=tell)
    if client.config.resources.attestation_root is not None:
        screen.say("WARNING: receipts were believed under a development root: this proves a protocol, and no hardware")
    return summary


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


def name_next(
    screen: Screen, summary: FetchSummary, ticket: str, out: str, source: str | None, receipts: Path | None
) -> None:
    """What comes after a job's answers: `source` is its input if that is known, `receipts` where they were kept."""
    if summary.truncated:
        screen.say(f"{summary.truncated:,} answers were cut at their longest; --max-tokens allows more")
    hopeless = sum(count for code, count in summary.error_codes if code in GONE_FOR_GOOD)
    if summary.errored + summary.expired + summary.canceled > hopeless:
        screen.next_step(f"sealbatch retry {ticket} {'FILE' if source in {None, '-'} else source}")
    elif receipts is not None and out != "-":
        screen.next_step(f"{verifying(out, receipts)} --release pcrs.json", "again, years later, without a network")
    else:
        screen.next_step(f"sealbatch purge {ticket}", "once nobody needs what lies in the bucket")


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
        raise Stop(Exit.INTERRUPTED, "interrupted; the job goes on", f"sealbatch {again}") from None


@contextmanager
def sent(ticket: str) -> Iterator[None]:
    """What ends early inside says how to go on with the job: the same typed again would be another one."""
    from sealbatch.explain import explain

    again = f"wait {ticket}"
    with resumable(again):
        try:
            yield
        except (BrokenPipeError, Stop):
            raise
        except Exception as error:
            code, text = explain(error)
            if code is not Exit.TEMPORARY:
                raise
            raise Stop(code, text, f"sealbatch {again}") from None
