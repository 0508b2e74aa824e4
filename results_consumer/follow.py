"""Fetch a job while it runs: each chunk is verified and written when it and all chunks before it have their outcomes.

The lines, their order and every check are those of `fetch`. What differs is when: a chunk's lines go out before later
chunks are there, so an output that cannot be taken back may end early, with nothing in it that was not verified.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack

from results_consumer.bucket import Bucket
from results_consumer.clients import KmsClient, S3Client
from results_consumer.fetch import FetchOptions
from results_consumer.follower import Followed, Follower
from results_consumer.growing import Growing, Mark
from results_consumer.job import Job, open_job
from results_consumer.keyring import unwrap_keys
from results_consumer.pace import Pace
from results_consumer.settings import ReaderSettings
from results_consumer.status import clock_ms
from results_consumer.tally import FetchSummary
from wire.ticket import Ticket


def identity(ticket: Ticket, settings: ReaderSettings, options: FetchOptions) -> Mark:
    """What two runs have in common that write the same output."""
    return {
        "ticket": str(ticket),
        "form": str(options.form),
        "only": None if options.only is None else str(options.only),
        "input": options.inputs is not None,
        "receipts": None if options.receipts is None else str(options.receipts.resolve()),
        "trust": settings.trust.digest(),
    }


def follow(
    s3: S3Client,
    kms: KmsClient,
    settings: ReaderSettings,
    ticket: Ticket,
    output: Growing,
    *,
    options: FetchOptions,
    told: Callable[[Followed], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
    now_ms: Callable[[], int] = clock_ms,
) -> FetchSummary:
    """Write the lines of a job to `output` as they come, until every record has an outcome or the deadline passed.

    `told` is called after each chunk and each look, and may raise to end it; `pause` waits for seconds between looks.
    An S3 that does not answer for a while is asked again.

    Raises:
        IntegrityError: anything is not as the ticket says. What was verified before stays.
        ServiceError: S3 or KMS refuse, or do not answer at the first look.
        SinkError: the output cannot be written.
    """
    job = open_job(s3, settings, ticket)
    ring = unwrap_keys(kms, job)
    with ExitStack() as stack:
        stack.enter_context(output)
        follower = Follower(
            bucket=Bucket(s3, settings.bucket),
            job=job,
            ring=ring,
            trust=settings.trust,
            output=output,
            options=options,
            told=told,
        )
        follower.begin(stack)
        pace = Pace()
        while True:
            before = follower.next
            outage = follower.look(now_ms())
            if outage is None and follower.finished():
                return follower.end()
            if outage is not None and follower.looks == 0:
                raise outage
            pause(_until(job, now_ms(), pace.after(moved=follower.next > before)))


def _until(job: Job, now: int, seconds: float) -> float:
    """A pause that does not outlast the job."""
    deadline = job.manifest.parameters.deadline_ms
    return seconds if deadline is None or deadline <= now else min(seconds, (deadline - now) / 1000)
