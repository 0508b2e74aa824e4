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
from typing import BinaryIO, Final

from producer.choice import chosen
from producer.clients import Clients
from producer.errors import InputInvalid, SendIncomplete, ServiceError, ServiceKind
from producer.forms import InputForm
from producer.keyset import Keyset, generate_keyset, throwaway_keyset
from producer.once import Once
from producer.problem import Problem
from producer.published import open_published
from producer.questions import read_records
from producer.sealing import Sealer, seal_all
from producer.send import Sender, chunk_messages
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

__all__ = ["Phase", "Submission", "SubmitOptions", "SubmitProgress", "submit"]

_LOG: Final = logging.getLogger("sealbatch.producer")
_NOTHING: Final = "nothing was submitted"


def _ignore(_: SubmitProgress) -> None:
    pass


def submit(  # noqa: PLR0917 - what, how, where to: each is one value
    source: BinaryIO,
    form: InputForm,
    defaults: Params,
    options: SubmitOptions,
    settings: ProducerSettings,
    clients: Clients | None,
    progress: Callable[[SubmitProgress], None] = _ignore,
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
    store = None if clients is None or options.dry_run else JobStore(clients.s3, settings.bucket)
    once = None
    if store is not None and options.idempotency is not None:
        once = Once(store, settings, options.idempotency, source, form, defaults, options)
        source = once.input
    if clients is not None and once is not None and (found := _existing(once, clients, settings, progress)):
        return found
    job = new_job_id()
    with Spool(options.spool_folder) as spool:
        tally = Tally(options.max_problems)
        items: Iterable[Record | Problem] = read_records(
            source, form, defaults, keep_invalid=options.skip_invalid, notes=tally.notes
        )
        if (retry := options.parameters.retry) is not None:
            items = chosen(items, retry.ranges)
        sealer = Sealer(settings, job, _keyset_maker(clients, settings, job, dry_run=options.dry_run), spool)
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
        if clients is None or store is None:
            return _submission(None, job, spool, tally)
        upload = Upload(store, settings, job, spool)
        ticket = _upload(upload, sealer.keyset, options, len(spool), progress)
        if retry is not None and options.retry_key is not None:
            # After the manifest, so that what is linked exists; before the first answer that a fetch could miss.
            link = f"{ledger.retry_prefix(settings.tenant, retry.parent.job)}{ticket.job}"
            store.put(link, str(ticket).encode() + retry_mac(options.retry_key, retry.parent.job, str(ticket)))
        if once is not None and not once.claim(ticket):
            # Somebody was faster with the same key: theirs is the job, if it is this one.
            upload.discard()
            return _winner(once, clients, settings, progress)
        messages = chunk_messages(spool, settings.tenant, ticket.job, options.parameters)
        _send(clients, settings, messages, chunks=len(spool), ticket=ticket, progress=progress)
        if once is not None:
            once.mark_sent()
        return _submission(ticket, job, spool, tally)


def _keyset_maker(
    clients: Clients | None, settings: ProducerSettings, job: str, *, dry_run: bool
) -> Callable[[], Keyset]:
    def make() -> Keyset:
        if clients is None or dry_run:
            return throwaway_keyset(settings, job)
        try:
            return generate_keyset(clients.kms, settings, job)
        except ServiceError as error:
            raise error.meaning(_NOTHING) from None

    return make


def _upload(
    upload: Upload, keyset: Keyset, options: SubmitOptions, chunks: int, progress: Callable[[SubmitProgress], None]
) -> Ticket:
    try:
        return upload.put_all(
            keyset, options.parameters, lambda done: progress(SubmitProgress(Phase.UPLOAD, done, chunks))
        )
    except ServiceError as error:
        left = upload.discard()
        raise error.meaning(f"{_NOTHING}, {left} sealed objects may be left" if left else _NOTHING) from None
    except BaseException:
        # Also Ctrl-C: whoever is interrupted here holds no ticket, so the objects are of use to nobody.
        upload.discard()
        raise


def _existing(
    once: Once, clients: Clients, settings: ProducerSettings, progress: Callable[[SubmitProgress], None]
) -> Submission | None:
    """The job that was submitted under the key, all its messages sent; None if there is none.

    Raises:
        KeyReused: it is a job of something else.
    """
    ticket = once.find()
    if ticket is None:
        return None
    job = open_published(JobStore(clients.s3, settings.bucket), settings.tenant, ticket)
    if not once.is_sent():
        # Whoever made it did not live to say that all messages went out.
        chunks = job.manifest.chunks
        _send(clients, settings, job.messages(), chunks=chunks, ticket=ticket, progress=progress)
        once.mark_sent()
    records = job.manifest.records
    report = ValidationReport(records, (), 0, 0, 0, 0, 0)
    return Submission(ticket, ticket.job, records, job.manifest.chunks, 0, 0, report, existed=True)


def _winner(
    once: Once, clients: Clients, settings: ProducerSettings, progress: Callable[[SubmitProgress], None]
) -> Submission:
    found = _existing(once, clients, settings, progress)
    if found is None:
        raise ServiceError(ServiceKind.INVALID, "S3", "GetObject", settings.bucket, code="LookupGone")
    return found


def _send(
    clients: Clients,
    settings: ProducerSettings,
    messages: Iterable[ChunkMessage],
    *,
    chunks: int,
    ticket: Ticket,
    progress: Callable[[SubmitProgress], None],
) -> None:
    progress(SubmitProgress(Phase.SEND, 0, chunks, ticket))
    sent = 0

    def count(number: int) -> None:
        nonlocal sent
        sent += number
        progress(SubmitProgress(Phase.SEND, sent, chunks, ticket))

    try:
        Sender(clients.sqs, settings.queue_url).send_all(messages, count)
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
