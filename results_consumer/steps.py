"""The numbered plan of what a receipt, and an output with its receipts, must stand."""

import enum
from typing import Final

from results_consumer.errors import Check, IntegrityError


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

    def at(self, where: str) -> IntegrityError:
        """What a reader raises for the receipt, or what is beside it, at `where`."""
        return IntegrityError(Check.RECEIPT, where, str(self))
