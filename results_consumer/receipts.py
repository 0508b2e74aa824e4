"""Verifies receipts, step by step, online and years later alike. No I/O: bytes in, a verdict out."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from results_consumer.attestation import AttestationDocument, AttestationError, Code, is_signed, verify_document
from results_consumer.certificates import UNREADABLE
from results_consumer.cover import Range
from results_consumer.steps import ReceiptRefused, Step
from results_consumer.trust import Trust
from wire.commitments import result_root
from wire.envelope import SealedAnswers
from wire.errors import ReceiptError
from wire.manifest import ChunkEntry, Manifest
from wire.payload import Result
from wire.receipt import PCRS, Receipt, SignedReceipt, Totals, parse_receipt, parse_statement

OLDEST: Final = timedelta(hours=4)
"""How much older than its job a document may be: an enclave renews it every half hour; its certificate lives three."""
SKEW: Final = timedelta(minutes=10)
"""What the clocks of producer, reader and hypervisor may differ by."""
MAX_DOCUMENTS: Final = 256
"""Verified documents that are remembered: one for each enclave and half hour of a job."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a receipt must be about.

    `image` is the PCR0 that the questions were sealed for, `created_ms` when the job was made, `now` the reader's time.
    `results` are the opened answers and `salt` their chunk's, None where there are none to compare.
    """

    tenant: str
    job: str
    chunk: int
    first: int
    count: int
    image: str
    questions: bytes
    answers: bytes
    model: bytes
    template: bytes
    created_ms: int
    now: datetime
    salt: bytes
    results: Sequence[Result] | None

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        entry: ChunkEntry,
        span: Range,
        sealed: SealedAnswers,
        *,
        now: datetime,
        salt: bytes,
        results: Sequence[Result] | None = None,
    ) -> "Subject":
        """What the receipt must be about of sealed answers to a range of a chunk."""
        return cls(
            tenant=manifest.tenant,
            job=manifest.job,
            chunk=entry.chunk,
            first=span.first,
            count=span.count,
            image=manifest.keysets[entry.keyset].image,
            questions=entry.digest,
            answers=sealed.body_digest,
            model=sealed.header.model,
            template=sealed.header.template,
            created_ms=manifest.created_ms,
            now=now,
            salt=salt,
            results=results,
        )


class ReceiptVerifier:
    """Verifies receipts under one trust. Threads may share it."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._lock = threading.Lock()
        self._documents: dict[bytes, AttestationDocument] = {}

    def verify(self, data: bytes, subject: Subject) -> Receipt:
        """Verify a receipt in the clear: steps 1 and 3 to 20 of `Step`.

        Raises:
            ReceiptRefused: the first step that failed.
        """
        # 1. There is one. 2., its seal, is opened by whoever holds the key.
        _demand(Step.PRESENT, bool(data))
        # 3. It is one.
        try:
            signed = parse_receipt(data)
        except ReceiptError:
            raise ReceiptRefused(Step.FORM) from None
        # 4. to 9. Its document is authentic.
        attested = self._document(signed)
        # 10. It was made when the enclave could have worked on this job, and not in the future.
        created = datetime.fromtimestamp(subject.created_ms / 1000, UTC)
        _demand(Step.DOCUMENT_TIME, created - OLDEST <= attested.timestamp <= subject.now + SKEW)
        # 11. and 12. The key that it attests signed the receipt.
        statement = _statement(attested)
        _demand(Step.SIGNATURE, is_signed(_key(attested), signed.payload, signed.signature))
        # 13. What the receipt repeats of its document is what the document says, and what the answers say.
        _check_measurements(signed.receipt, attested, statement, subject)
        # 14. and 15. Image, model, template and settings are accepted.
        self._check_release(signed.receipt, attested, subject)
        # 16. to 20. It is about these very answers.
        _check_subject(signed.receipt, subject)
        return signed.receipt

    def _document(self, signed: SignedReceipt) -> AttestationDocument:
        digest = hashlib.sha256(signed.document).digest()
        _demand(Step.DOCUMENT_DIGEST, digest == signed.receipt.document)
        with self._lock:
            known = self._documents.get(digest)
        if known is not None:
            return known
        try:
            attested = verify_document(signed.document, self._trust.roots)
        except AttestationError as error:
            raise ReceiptRefused(_DOCUMENT_STEPS.get(error.code, Step.DOCUMENT_FORM)) from None
        with self._lock:
            if len(self._documents) < MAX_DOCUMENTS:
                self._documents[digest] = attested
        return attested

    def _check_release(self, receipt: Receipt, attested: AttestationDocument, subject: Subject) -> None:
        _demand(Step.IMAGE, receipt.pcrs[0].hex() == subject.image)
        stated = {"model": receipt.model, "template": receipt.template, "settings": receipt.settings}
        accepted = any(
            all(attested.pcrs.get(index) == pcr for index, pcr in release.pcrs.items())
            and all(stated[name] == digest for name, digest in release.digests.items())
            for release in self._trust.releases
        )
        _demand(Step.RELEASE, accepted or not self._trust.releases)


_DOCUMENT_STEPS: Final = {
    Code.SIGNATURE: Step.DOCUMENT_SIGNATURE,
    Code.CHAIN: Step.CHAIN,
    Code.EXPIRED: Step.CERTIFICATE_TIME,
    Code.DEBUG: Step.NOT_DEBUG,
}


def _demand(step: Step, holds: bool) -> None:
    if not holds:
        raise ReceiptRefused(step)


def _statement(attested: AttestationDocument) -> tuple[bytes, bytes, bytes]:
    """What the document says beside its key. Documents for KMS say nothing there and cannot pass for one of these."""
    statement = parse_statement(attested.user_data)
    if statement is None:
        raise ReceiptRefused(Step.KEY)
    return statement


def _key(attested: AttestationDocument) -> ec.EllipticCurvePublicKey:
    try:
        key = load_der_public_key(attested.public_key or b"")
    except UNREADABLE:
        raise ReceiptRefused(Step.KEY) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ReceiptRefused(Step.KEY)
    return key


def _check_measurements(
    receipt: Receipt, attested: AttestationDocument, statement: tuple[bytes, bytes, bytes], subject: Subject
) -> None:
    time_ms = round(attested.timestamp.timestamp() * 1000)
    pcrs = tuple(attested.pcrs.get(index) for index in PCRS)
    _demand(Step.MEASUREMENTS, receipt.time_ms == time_ms and receipt.pcrs == pcrs)
    _demand(Step.MEASUREMENTS, (receipt.model, receipt.template, receipt.settings) == statement)
    _demand(Step.MEASUREMENTS, (receipt.model, receipt.template) == (subject.model, subject.template))


def _check_subject(receipt: Receipt, subject: Subject) -> None:
    place = (receipt.tenant, receipt.job, receipt.chunk, receipt.first, receipt.count)
    _demand(Step.PLACE, place == (subject.tenant, subject.job, subject.chunk, subject.first, subject.count))
    _demand(Step.QUESTIONS, receipt.questions == subject.questions)
    _demand(Step.ANSWERS, receipt.answers == subject.answers)
    _demand(Step.COUNTS, sum(receipt.totals.outcomes) == receipt.count)
    if subject.results is not None:
        _demand(Step.COUNTS, Totals.of(subject.results) == receipt.totals)
        _demand(Step.RESULTS, result_root(subject.salt, subject.results) == receipt.result_root)
