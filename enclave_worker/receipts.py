"""Signs receipts: a key made at start, bound to this enclave by an attestation document that is renewed in time.

A document's certificate lives three hours. A receipt is verified at its document's time, so an old document goes on
proving what was signed under it; a new one is taken well before the certificate ends, so that the time in a receipt is
never far from the time at which it was signed. The age of a document is counted by the monotonic clock, which the
parent cannot set; the time itself is the document's, which the hypervisor wrote.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave_worker.attestor import Attestor, AttestorError
from enclave_worker.identity import Identity
from wire.measurement import PCR_SIZE
from wire.receipt import PCRS, Receipt, encode_payload, encode_receipt, key_statement, to_be_signed

RENEW_AFTER: Final = 1800.0
"""Seconds after which the next receipt gets a new document: a sixth of what its certificate lives."""


@dataclass(frozen=True, slots=True)
class Attested:
    """A document that holds the receipt key: its digest, time in milliseconds since 1970, and registers."""

    document: bytes
    digest: bytes
    time_ms: int
    pcrs: tuple[bytes, ...]


class ReceiptSigner:
    """The receipt key of one enclave. Safe to use from several threads."""

    def __init__(self, attestor: Attestor, identity: Identity, clock: Callable[[], float] = time.monotonic) -> None:
        """Make the key and have it attested.

        Raises:
            AttestorError: there is no document, or it is not one that a receipt could carry.
        """
        self._attestor = attestor
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP384R1())
        public = self._key.public_key()
        self._public_key = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._statement = key_statement(identity.model, identity.template, identity.settings)
        self._lock = threading.Lock()
        self._taken_at = clock()
        self._attested = self._attest()

    def attested(self) -> Attested:
        """What the next receipt is to name; a new document when the last one is `RENEW_AFTER` old.

        Raises:
            AttestorError: there is no new document.
        """
        with self._lock:
            now = self._clock()
            if now - self._taken_at >= RENEW_AFTER:
                self._attested = self._attest()
                self._taken_at = now
            return self._attested

    def sign(self, receipt: Receipt, document: bytes) -> bytes:
        """The signed receipt with the document that it names."""
        payload = encode_payload(receipt)
        r, s = decode_dss_signature(self._key.sign(to_be_signed(payload), ec.ECDSA(SHA384())))
        return encode_receipt(payload, r.to_bytes(48, "big") + s.to_bytes(48, "big"), document)

    def _attest(self) -> Attested:
        document = self._attestor.attest(public_key=self._public_key, user_data=self._statement, nonce=None)
        try:
            said: Any = cbor2.loads(cbor2.loads(document)[2])
            time_ms, pcrs = said["timestamp"], tuple(said["pcrs"][index] for index in PCRS)
        except (cbor2.CBORError, ValueError, TypeError, KeyError, IndexError):
            raise AttestorError("the attestation document cannot be read") from None
        if type(time_ms) is not int or any(not isinstance(pcr, bytes) or len(pcr) != PCR_SIZE for pcr in pcrs):
            raise AttestorError("the attestation document has no time or registers")
        return Attested(document, hashlib.sha256(document).digest(), time_ms, pcrs)
