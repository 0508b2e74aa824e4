"""Verifies receipts, step by step, online and years later alike. No I/O: bytes in, a verdict out."""

import enum
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from results_consumer.attestation import AttestationDocument, AttestationError, Code, verify_document
from results_consumer.certificates import UNREADABLE
from results_consumer.trust import Trust
from wire.commitments import result_root
from wire.errors import ReceiptError
from wire.payload import Result
from wire.receipt import PCRS, Receipt, SignedReceipt, Totals, parse_receipt, parse_statement, to_be_signed

OLDEST: Final = timedelta(hours=4)
"""How much older than its job a document may be: an enclave renews it every half hour; its certificate lives three."""
SKEW: Final = timedelta(minutes=10)
"""What the clocks of producer, reader and hypervisor may differ by."""
MAX_DOCUMENTS: Final = 256
"""Verified documents that are remembered: one for each enclave and half hour of a job."""


class Step(enum.IntEnum):
    """The plan, in the order in which steps are made."""

    PRESENT = 1
    SEAL = 2
    FORM = 3
    DOCUMENT_DIGEST = 4
    DOCUMENT_FORM = 5
    DOCUMENT_SIGNATURE = 6
    CHAIN = 7
    CERTIFICATE_TIME = 8
    NOT_DEBUG = 9
    DOCUMENT_TIME = 10
    KEY = 11
    SIGNATURE = 12
    MEASUREMENTS = 13
    IMAGE = 14
    RELEASE = 15
    PLACE = 16
    QUESTIONS = 17
    ANSWERS = 18
    COUNTS = 19
    RESULTS = 20
    INPUT = 21
    COMPLETE = 22

    @property
    def code(self) -> str:
        """The name in lower case."""
        return self.name.lower()


EXPLANATIONS: Final = {
    Step.PRESENT: "there is no receipt for these answers",
    Step.SEAL: "the receipt does not open under the job's answer key",
    Step.FORM: "it is not a receipt of this format",
    Step.DOCUMENT_DIGEST: "its attestation document is not the one that was signed",
    Step.DOCUMENT_FORM: "its attestation document is malformed",
    Step.DOCUMENT_SIGNATURE: "the signature of its attestation document is not of the certificate's key",
    Step.CHAIN: "its attestation document does not chain to a trusted root",
    Step.CERTIFICATE_TIME: "a certificate was not valid at the document's time",
    Step.NOT_DEBUG: "PCR0 is all zeros: the enclave ran in debug mode, and its host could read it",
    Step.DOCUMENT_TIME: "the document's time does not fit the job's",
    Step.KEY: "the attestation document is not one for a receipt key",
    Step.SIGNATURE: "the receipt's signature is not of the attested key",
    Step.MEASUREMENTS: "time, PCRs, model, template or settings are not the attested ones",
    Step.IMAGE: "the image is not the one that the questions were sealed for",
    Step.RELEASE: "image, model, template or settings are not those of an accepted release",
    Step.PLACE: "it is the receipt of another tenant, job, chunk or range",
    Step.QUESTIONS: "it is about other sealed questions",
    Step.ANSWERS: "it is about other sealed answers",
    Step.COUNTS: "outcomes or tokens do not add up to what was signed",
    Step.RESULTS: "the answers are not those that were signed",
    Step.INPUT: "the questions are not those of the input",
    Step.COMPLETE: "the outcomes are not exactly one for each record",
}


PROVES: Final = {
    Step.PRESENT: "every answer object has a receipt",
    Step.SEAL: "the receipt was sealed under the job's answer key",
    Step.FORM: "it is a COSE_Sign1 of the one spelling",
    Step.DOCUMENT_DIGEST: "its attestation document is the signed one",
    Step.DOCUMENT_FORM: "the document is well formed",
    Step.DOCUMENT_SIGNATURE: "the hypervisor's key signed the document",
    Step.CHAIN: "that key chains to the trusted root",
    Step.CERTIFICATE_TIME: "all certificates were valid at its time",
    Step.NOT_DEBUG: "the enclave did not run in debug mode",
    Step.DOCUMENT_TIME: "the document is of the time of the job",
    Step.KEY: "the document attests a receipt key",
    Step.SIGNATURE: "that key signed the receipt",
    Step.MEASUREMENTS: "time, PCRs and digests are the attested ones",
    Step.IMAGE: "the questions were sealed for this image",
    Step.RELEASE: "image and digests are of an accepted release",
    Step.PLACE: "tenant, job, chunk and range are these",
    Step.QUESTIONS: "the sealed questions are the submitted ones",
    Step.ANSWERS: "the sealed answers are the signed ones",
    Step.COUNTS: "outcomes and tokens add up",
    Step.RESULTS: "every line is what was signed",
    Step.INPUT: "the questions are those of the input",
    Step.COMPLETE: "every record has exactly one outcome",
}
"""What each step shows when it holds."""


class ReceiptRefused(Exception):  # noqa: N818 - says what happened
    """A receipt does not stand `step`."""

    def __init__(self, step: Step) -> None:
        super().__init__(f"receipt step {step.value} ({step.code}): {EXPLANATIONS[step]}")
        self.step = step


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
        _check_signature(signed, _key(attested))
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


def _check_signature(signed: SignedReceipt, key: ec.EllipticCurvePublicKey) -> None:
    r, s = (int.from_bytes(half, "big") for half in (signed.signature[:48], signed.signature[48:]))
    try:
        key.verify(encode_dss_signature(r, s), to_be_signed(signed.payload), ec.ECDSA(SHA384()))
    except InvalidSignature:
        raise ReceiptRefused(Step.SIGNATURE) from None


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
