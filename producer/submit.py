"""Submits a file of questions as a job.

1. Read, check and seal the whole input into a spool; two KMS calls, when the first chunk is full.
2. Put the sealed chunks into S3, then the pages, then the manifest. From here on the job exists and has a ticket.
3. Send the messages. What is not sent from here on is not lost: its chunk lies in S3.

Before the manifest is written, any failure takes back what was put: nothing was submitted. Under an idempotency key, a
job that was submitted before is found, if it was of the same input and options, and nothing is sealed;
`producer.once` and `producer.lookup` say how.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from aws_errors.service_error import ServiceError, ServiceKind
from producer.choice import chosen
from producer.clients import Clients
from producer.errors import InputInvalid, SendIncomplete
from producer.forms import InputForm
from producer.keyset import Keyset, generate_keyset, throwaway_keyset
from producer.lines import LineSource
from producer.once import Once
from producer.problem import Problem
from producer.published import open_published
from producer.questions import read_records
from producer.sealing import Sealer, seal_all
from producer.send import send_all
from producer.settings import ProducerSettings
from producer.spool import Spool
from producer.store import JobStore
from producer.submission import Phase, Submission, SubmitOptions, SubmitProgress
from producer.upload import Upload
from producer.validate import Tally, ValidationReport
from wire import ledger
from wire.keys import retry_mac
from wire.ledger import ChunkMessage
from wire.payload import Params, Record
from wire.ticket import Ticket, new_job_id

_LOG: Final = logging.getLogger("sealbatch.producer")
_NOTHING: Final = "nothing was submitted"

Progress = Callable[[SubmitProgress], None]


def submit(  # noqa: PLR0917 - what, how, where to: each is one value
    source: LineSource,
    form: InputForm,
    defaults: Params,
    options: SubmitOptions,
    settings: ProducerSettings,
    clients: Clients | None,
    progress: Progress = lambda _: None,
) -> Submission:
    """Submit the questions in `source`; `clients` may be None for a dry run.

    Raises:
        InputInvalid: the input has problems, or no valid question; nothing was sent.
        KeyReused: the idempotency key stands for another input or other options; nothing was sent.
        ServiceError: AWS failed before the job existed; nothing was submitted.
        SendIncomplete: the job exists, and not all its messages are known to be in the queue.
        SpoolError: there is no room for the sealed chunks; nothing was submitted.
        OSError: reading `source` failed; nothing was sent.
    """
    if clients is None and not options.dry_run:
        raise ValueError("clients are needed for anything but a dry run")
    job = new_job_id()
    if clients is None or options.dry_run:
        with Spool(options.spool_folder) as spool:
            sealer = Sealer(settings, job, partial(throwaway_keyset, settings, job), spool)
            _keyset, tally = _seal(source, form, defaults, options, sealer, progress)
            return _submission(None, job, spool, tally)
    way = _Way(settings, clients, progress)
    once = None
    if options.idempotency is not None:
        once = Once(way.store, settings, options.idempotency, source, form, defaults, options)
        if (found := way.existing(once, options)) is not None:
            return found
        source = once.input
    with Spool(options.spool_folder) as spool:
        sealer = Sealer(settings, job, partial(way.keyset, job), spool)
        keyset, tally = _seal(source, form, defaults, options, sealer, progress)
        upload = Upload(way.store, settings, job, spool)
        ticket = way.upload(upload, keyset, options, len(spool))
        if once is not None and not once.claim(ticket):
            # Somebody was faster with the same key: theirs is the job, if it is this one.
            upload.discard()
            return way.winner(once, options)
        way.link(ticket, options)
        messages = (
            chunk.message(settings.tenant, job, options.parameters, spool.read(chunk)) for chunk in spool.chunks()
        )
        way.send(messages, len(spool), ticket)
        if once is not None:
            once.lookup.mark_sent()
        return _submission(ticket, job, spool, tally)


def _seal(  # noqa: PLR0917 - as `submit`
    source: LineSource,
    form: InputForm,
    defaults: Params,
    options: SubmitOptions,
    sealer: Sealer,
    progress: Progress,
) -> tuple[Keyset, Tally]:
    """Read, check and seal the whole input; the keyset that it is sealed under, and what was counted.

    Raises:
        InputInvalid: it has problems, or no valid question.
    """
    tally = Tally()
    items: Iterable[Record | Problem] = read_records(
        source, form, defaults, keep_invalid=options.skip_invalid, notes=tally.notes
    )
    if options.parameters.retry is not None:
        items = chosen(items, options.parameters.retry.ranges)
    accepted = seal_all(
        items,
        tally,
        options.limits,
        sealer,
        skip_invalid=options.skip_invalid,
        progress=lambda done: progress(SubmitProgress(Phase.SEAL, done)),
    )
    if not accepted or sealer.keyset is None:
        raise InputInvalid(tally.report())
    return sealer.keyset, tally


class _Way:
    """Where a submission goes, and who is told how far it is."""

    def __init__(self, settings: ProducerSettings, clients: Clients, progress: Progress) -> None:
        self._settings = settings
        self._clients = clients
        self._progress = progress
        self.store = JobStore(clients.s3, settings.bucket)

    def keyset(self, job: str) -> Keyset:
        try:
            return generate_keyset(self._clients.kms, self._settings, job)
        except ServiceError as error:
            raise error.meaning(_NOTHING) from None

    def upload(self, upload: Upload, keyset: Keyset, options: SubmitOptions, chunks: int) -> Ticket:
        """Make the job exist."""
        try:
            return upload.put_all(
                keyset, options.parameters, lambda done: self._progress(SubmitProgress(Phase.UPLOAD, done, chunks))
            )
        except ServiceError as error:
            left = upload.discard()
            raise error.meaning(f"{_NOTHING}, {left} sealed objects may be left" if left else _NOTHING) from None
        except BaseException:
            # Also Ctrl-C: whoever is interrupted here holds no ticket, so the objects are of use to nobody.
            upload.discard()
            raise

    def link(self, ticket: Ticket, options: SubmitOptions) -> None:
        """Link the job to the one that it repeats records of, if it does.

        When it is sure to stay, since a fetch of the other needs whatever is linked; and before the first answer that
        such a fetch could miss.
        """
        retry = options.parameters.retry
        if retry is not None and options.retry_key is not None:
            mac = retry_mac(options.retry_key, retry.job, str(ticket))
            self.store.put(ledger.retry_key(self._settings.tenant, retry.job, str(ticket), mac), b"")

    def existing(self, once: Once, options: SubmitOptions) -> Submission | None:
        """The job that was submitted under the key, all its messages sent; None if there is none.

        Raises:
            KeyReused: it is a job of something else.
        """
        ticket = once.find()
        if ticket is None:
            return None
        job = open_published(self.store, self._settings.tenant, ticket)
        records, chunks = job.manifest.records, job.manifest.chunks
        if not once.lookup.is_sent():
            # Whoever made it did not live to say that all messages went out.
            self.link(ticket, options)
            self.send(job.messages(), chunks, ticket)
            once.lookup.mark_sent()
        report = ValidationReport(records, (), 0, 0, 0, 0, 0)
        return Submission(ticket, ticket.job, records, chunks, 0, 0, report, existed=True)

    def winner(self, once: Once, options: SubmitOptions) -> Submission:
        found = self.existing(once, options)
        if found is None:
            raise ServiceError(ServiceKind.INVALID, "S3", "GetObject", self._settings.bucket, code="LookupGone")
        return found

    def send(self, messages: Iterable[ChunkMessage], chunks: int, ticket: Ticket) -> None:
        self._progress(SubmitProgress(Phase.SEND, 0, chunks, ticket))
        sent = 0

        def count(number: int) -> None:
            nonlocal sent
            sent += number
            self._progress(SubmitProgress(Phase.SEND, sent, chunks, ticket))

        try:
            send_all(self._clients.sqs, self._settings.queue_url, messages, count)
        except ServiceError as error:
            raise SendIncomplete(ticket, sent, chunks, error) from None
        _LOG.info("job submitted job=%s chunks=%d", ticket.job, chunks)


def _submission(ticket: Ticket | None, job: str, spool: Spool, tally: Tally) -> Submission:
    last = spool.chunk(len(spool) - 1)
    return Submission(
        ticket=ticket,
        job=job,
        records=last.first + last.count,
        chunks=len(spool),
        skipped=tally.problem_count,
        sealed_bytes=spool.size,
        report=tally.report(),
    )
