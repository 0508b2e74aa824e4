"""The signature section of an image, by which PCR8 says whose certificate signed it.

As AWS's tools write it (aws-nitro-enclaves-image-format, `utils/eif_signer.rs`): CBOR of one certificate in PEM and one
COSE_Sign1 over PCR0, all bytes spelled as arrays of numbers. The hypervisor takes ECDSA over P-256, P-384 and P-521.
"""

from dataclasses import dataclass
from typing import Final

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from results_consumer.certificates import UNREADABLE

# Curve: COSE algorithm (RFC 9053), hash, bytes of each half of a signature.
_ALGORITHMS: Final[dict[str, tuple[int, HashAlgorithm, int]]] = {
    "secp256r1": (-7, SHA256(), 32),
    "secp384r1": (-35, SHA384(), 48),
    "secp521r1": (-36, SHA512(), 66),
}


class SigningError(Exception):
    """Key and certificate cannot sign an image; the text says why."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def section(self, pcr0: bytes) -> bytes:
        """The section that signs an image of this PCR0 (48 bytes)."""
        algorithm, digest, size = _ALGORITHMS[self.key.curve.name]
        protected = cbor2.dumps({1: algorithm})
        payload = cbor2.dumps({"register_index": 0, "register_value": list(pcr0)})
        made = self.key.sign(cbor2.dumps(["Signature1", protected, b"", payload]), ec.ECDSA(digest))
        signature = b"".join(half.to_bytes(size, "big") for half in decode_dss_signature(made))
        signed = cbor2.dumps([protected, {}, payload, signature])
        certificate = self.certificate.public_bytes(Encoding.PEM)
        section: bytes = cbor2.dumps([{"signing_certificate": list(certificate), "signature": list(signed)}])
        return section


def load_signer(key: bytes, certificate: bytes) -> Signer:
    """A signer from two PEM files, the key without a password.

    Raises:
        SigningError: one is malformed or of another kind, or they do not belong together.
    """
    try:
        private = load_pem_private_key(key, None)
    except UNREADABLE:
        raise SigningError("the signing key is no private key in PEM without a password") from None
    try:
        signed = x509.load_pem_x509_certificate(certificate)
        public = signed.public_key()
    except UNREADABLE:
        raise SigningError("the signing certificate is no certificate in PEM") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name not in _ALGORITHMS:
        raise SigningError("the signing key is not ECDSA over P-256, P-384 or P-521")
    if public != private.public_key():
        raise SigningError("the signing certificate is of another key")
    return Signer(private, signed)
