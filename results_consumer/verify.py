"""Whether an object is the true answers to a range of records. No I/O: bytes in, a verdict out."""

from dataclasses import dataclass, field
from datetime import datetime

from results_consumer.cover import Range
from results_consumer.errors import Check, IntegrityError, checked
from results_consumer.job import Job
from results_consumer.keyring import AnswerKey
from results_consumer.receipts import ReceiptVerifier, Subject
from results_consumer.steps import ReceiptRefused, Step
from wire.envelope import parse_answers
from wire.errors import SealError
from wire.header import AnswerHeader
from wire.manifest import ChunkEntry
from wire.payload import AnswerPayload
from wire.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Expected:
    """What the ticket, the manifest and KMS say that the answers to `span` must be bound to.

    `receipts` verifies who answered; `now` is the reader's time.
    """

    job: Job
    entry: ChunkEntry
    key: AnswerKey
    span: Range
    receipts: ReceiptVerifier
    now: datetime


@dataclass(frozen=True, slots=True)
class Verified:
    """Opened answers to exactly `span`, the object that they came in with its SHA-256, and their verified receipt."""

    span: Range
    where: str
    digest: bytes
    model: bytes
    template: bytes
    payload: AnswerPayload = field(repr=False)
    receipt: Receipt = field(repr=False)
    receipt_bytes: bytes = field(repr=False)
    sealed: bytes = field(repr=False)


def verify_answers(data: bytes, where: str, expected: Expected) -> Verified:
    """Open `data`, found at the key `where`, if it is the answers to `expected.span`: checks 12 to 23, and 29.

    Raises:
        IntegrityError: the first check that failed.
    """
    # 12. It is sealed answers within the limits.
    with checked(Check.OBJECT_FORM, where):
        sealed = parse_answers(data)
    # 13. to 20. Its header names what is expected. The header is authentic only if the seal opens, which takes long.
    _check_header(sealed.header, where, expected)
    # 21. Commitment, AEAD and padding, in this order.
    with checked(Check.SEAL, where):
        plaintext = sealed.open(expected.key.key)
    # 22. What was sealed is a payload.
    with checked(Check.PAYLOAD_FORM, where):
        payload = AnswerPayload.decode(plaintext)
    # 23. It holds one result for each record of the range, in order.
    span = expected.span
    if [result.number for result in payload.results] != list(range(span.first, span.end)):
        raise IntegrityError(Check.RECORD_NUMBERS, where)
    # 29. The enclave signed for it.
    manifest, header = expected.job.manifest, sealed.header
    about = Subject.of(
        manifest, expected.entry, span, sealed, now=expected.now, salt=payload.salt, results=payload.results
    )
    try:
        receipt_bytes = sealed.open_receipt(expected.key.key)
        receipt = expected.receipts.verify(receipt_bytes, about)
    except SealError:
        raise ReceiptRefused(Step.SEAL).at(where) from None
    except ReceiptRefused as error:
        raise error.at(where) from None
    return Verified(span, where, sealed.digest, header.model, header.template, payload, receipt, receipt_bytes, data)


def _check_header(header: AnswerHeader, where: str, expected: Expected) -> None:
    manifest, span = expected.job.manifest, expected.span
    plan = (
        (Check.TENANT, header.tenant == manifest.tenant),
        (Check.JOB, header.job == manifest.job),
        (Check.IMAGE, header.image == expected.key.keyset.image),
        (Check.CHUNK, header.chunk == expected.entry.chunk),
        (Check.RANGE, (header.first, header.count) == (span.first, span.count)),
        (Check.KEY_ARN, header.key_arn == expected.key.keyset.answer_key_arn),
        (Check.WRAPPED_DIGEST, header.wrapped_digest == expected.key.wrapped_digest),
        (Check.QUESTION_DIGEST, header.question_digest == expected.entry.digest),
    )
    for check, holds in plan:
        if not holds:
            raise IntegrityError(check, where)
