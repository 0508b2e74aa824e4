"""Receipts as an enclave makes them, under a development root of the tests' own, at a time of their own."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from devstack.nsm import SoftwareNsm
from devstack.root import DevelopmentRoot
from enclave_worker.identity import Identity
from enclave_worker.receipts import ReceiptSigner
from results_consumer.trust import Trust
from wire import envelope
from wire.commitments import result_root
from wire.payload import Result
from wire.receipt import Receipt, Totals

CREATED_MS = 1_790_000_000_000
STARTED = datetime.fromtimestamp(CREATED_MS / 1000, UTC) + timedelta(minutes=1)
"""When the enclaves of these tests started: a minute after the jobs were made."""
ROOT = DevelopmentRoot.create(STARTED - timedelta(days=1))
TRUST = Trust((ROOT.certificate,), development=True)
SETTINGS = bytes([6]) * 32
QUESTION_ROOT = bytes([5]) * 32
PCR1, PCR2 = b"\1" * 48, b"\2" * 48


@lru_cache(maxsize=64)
def signer(image: str, model: bytes, template: bytes) -> ReceiptSigner:
    """The signer of an enclave that is this image, model and template."""
    nsm = SoftwareNsm(ROOT, {0: bytes.fromhex(image), 1: PCR1, 2: PCR2}, lambda: STARTED)
    return ReceiptSigner(nsm, Identity(image, "test-bloom", model, template, SETTINGS))


def make_receipt(sealed: bytes, salt: bytes, results: tuple[Result, ...], **bent: Any) -> bytes:
    """The receipt for sealed answers that have none yet; whatever is named in `bent` is signed instead."""
    header = envelope.parse_answers(sealed).header
    made = signer(header.image, header.model, header.template)
    attested = made.attested()
    receipt = Receipt(
        tenant=header.tenant,
        job=header.job,
        chunk=header.chunk,
        first=header.first,
        count=header.count,
        questions=header.question_digest,
        answers=envelope.body_digest(sealed),
        question_root=QUESTION_ROOT,
        result_root=result_root(salt, results),
        totals=Totals.of(results),
        model=header.model,
        template=header.template,
        settings=SETTINGS,
        pcrs=attested.pcrs,
        document=attested.digest,
        time_ms=attested.time_ms,
    )
    document = bent.pop("document_bytes", attested.document)
    return made.sign(replace(receipt, **bent), document)
