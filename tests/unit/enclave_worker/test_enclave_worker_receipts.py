"""The receipt key of an enclave: attested at start, again in time, and never without a document."""

from datetime import timedelta

import cbor2
import pytest
from receipt_factory import ROOT, STARTED
from wire_samples import IMAGE

from devstack.nsm import SoftwareNsm
from enclave_worker.attestor import AttestorError
from enclave_worker.identity import Identity, settings_digest
from enclave_worker.receipts import RENEW_AFTER, ReceiptSigner
from results_consumer.attestation import verify_document
from wire.receipt import parse_statement

IDENTITY = Identity(IMAGE, "test", bytes([8]) * 32, bytes([9]) * 32, settings_digest({"default_max_tokens": 1}))


class Clocks:
    """The hypervisor's time and the enclave's, moved together."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.nsm = SoftwareNsm(ROOT, {0: bytes.fromhex(IMAGE)}, lambda: STARTED + timedelta(seconds=self.seconds))

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self.seconds


def test_the_key_and_the_statement_are_attested_at_start() -> None:
    """One document for all receipts of the first half hour, and it verifies."""
    clocks = Clocks()
    signer = ReceiptSigner(clocks.nsm, IDENTITY, clocks.monotonic)
    attested = signer.attested()
    document = verify_document(attested.document, [ROOT.certificate])
    assert document.public_key == signer._public_key
    assert parse_statement(document.user_data) == (IDENTITY.model, IDENTITY.template, IDENTITY.settings)
    assert attested.time_ms == int(STARTED.timestamp() * 1000)
    clocks.seconds = RENEW_AFTER - 1
    assert signer.attested() is attested


def test_a_document_is_renewed_long_before_its_certificate_ends() -> None:
    """After a day of work every document was valid when it was named, and the key is the same."""
    clocks = Clocks()
    signer = ReceiptSigner(clocks.nsm, IDENTITY, clocks.monotonic)
    seen = set()
    for minute in range(0, 24 * 60, 10):
        clocks.seconds = minute * 60
        attested = signer.attested()
        seen.add(attested.digest)
        now = STARTED + timedelta(seconds=clocks.seconds)
        document = verify_document(attested.document, [ROOT.certificate], at=now)
        assert document.public_key == signer._public_key
        assert now - document.timestamp <= timedelta(seconds=RENEW_AFTER)
    assert len(seen) == 48


def test_without_a_new_document_nothing_is_signed() -> None:
    """An attestor that fails costs the chunk, and the next one tries again."""
    clocks = Clocks()
    signer = ReceiptSigner(clocks.nsm, IDENTITY, clocks.monotonic)
    clocks.seconds = RENEW_AFTER
    true, signer._attestor = signer._attestor, Broken(b"")
    with pytest.raises(AttestorError):
        signer.attested()
    signer._attestor = true
    assert signer.attested().time_ms > int(STARTED.timestamp() * 1000)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\x80",
        cbor2.dumps([b"", {}, cbor2.dumps({"timestamp": 1})]),
        cbor2.dumps([b"", {}, cbor2.dumps({"timestamp": "1", "pcrs": {n: bytes(48) for n in range(3)}})]),
    ],
)
def test_an_unreadable_document_stops_the_start(document: bytes) -> None:
    """One clear error, and no receipt that could not be verified."""
    with pytest.raises(AttestorError, match="attestation document"):
        ReceiptSigner(Broken(document), IDENTITY)


class Broken:
    """An attestor that gives these bytes, or fails."""

    def __init__(self, document: bytes) -> None:
        self._document = document

    def attest(self, **_: bytes | None) -> bytes:
        """The bytes; no bytes are a failure."""
        if not self._document:
            raise AttestorError("the attestation document cannot be had")
        return self._document

    def pcr(self, _: int) -> bytes:
        """Not asked."""
        raise AssertionError
