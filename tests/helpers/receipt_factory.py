"""Receipts as an enclave makes them, under a development root of the tests' own, at a time of their own."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.serialization import Encoding

import devstack.root
from devstack.nsm import SoftwareNsm
from devstack.root import DevelopmentRoot
from enclave_worker.identity import Identity
from enclave_worker.receipts import Attested, ReceiptSigner
from results_consumer.trust import Trust
from wire import envelope
from wire.commitments import result_root
from wire.payload import Result
from wire.receipt import Receipt, Totals

CREATED_MS = 1_790_000_000_000
STARTED = datetime.fromtimestamp(CREATED_MS / 1000, UTC) + timedelta(minutes=1)
"""When the enclaves of these tests started: a minute after the jobs were made."""
ROOT = DevelopmentRoot.create(STARTED - timedelta(days=1))
with mock.patch.object(devstack.root, "CHAIN_LIFE", timedelta(days=36_500)):
    LASTING_ROOT = DevelopmentRoot.create(datetime(2020, 1, 1, tzinfo=UTC))
    """For tests whose time is simulated."""
TRUST = Trust((ROOT.certificate, LASTING_ROOT.certificate), development=True)
SETTINGS = bytes([6]) * 32
QUESTION_ROOT = bytes([5]) * 32
PCR1, PCR2 = b"\1" * 48, b"\2" * 48


@lru_cache(maxsize=64)
def signer(image: str, model: bytes, template: bytes, started: datetime = STARTED) -> ReceiptSigner:
    """The signer of an enclave that is this image, model and template, and has just started."""
    root = ROOT if started == STARTED else LASTING_ROOT
    nsm = SoftwareNsm(root, {0: bytes.fromhex(image), 1: PCR1, 2: PCR2}, lambda: started)
    return ReceiptSigner(nsm, Identity(image, "test-bloom", model, template, SETTINGS))


def unsigned(
    sealed: bytes,
    salt: bytes,
    results: tuple[Result, ...],
    attested: Attested,
    *,
    settings: bytes,
    question_root: bytes,
) -> Receipt:
    """What is true of sealed answers, before anybody signs it."""
    header = envelope.parse_answers(sealed).header
    return Receipt(
        tenant=header.tenant,
        job=header.job,
        chunk=header.chunk,
        first=header.first,
        count=header.count,
        questions=header.question_digest,
        answers=envelope.body_digest(sealed),
        question_root=question_root,
        result_root=result_root(salt, results),
        totals=Totals.of(results),
        model=header.model,
        template=header.template,
        settings=settings,
        pcrs=attested.pcrs,
        document=attested.digest,
        time_ms=attested.time_ms,
    )


def make_receipt(
    sealed: bytes, salt: bytes, results: tuple[Result, ...], *, started: datetime = STARTED, **bent: Any
) -> bytes:
    """The receipt for sealed answers that have none yet; whatever is named in `bent` is signed instead."""
    header = envelope.parse_answers(sealed).header
    made = signer(header.image, header.model, header.template, started)
    attested = made.attested()
    receipt = unsigned(sealed, salt, results, attested, settings=SETTINGS, question_root=QUESTION_ROOT)
    document = bent.pop("document_bytes", attested.document)
    return made.sign(replace(receipt, **bent), document)


def write_roots(path: Path) -> str:
    """Both roots in PEM, for a configuration's `attestation_root`; the path."""
    path.write_bytes(b"".join(root.public_bytes(Encoding.PEM) for root in TRUST.roots))
    return str(path)
