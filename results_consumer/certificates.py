"""The certificate chain of an attestation document: P-384 throughout, from a pinned root down to a leaf of 3 hours.

`cryptography` has a path validator for the web's certificates; its profile (names, key purposes) does not fit these,
so each rule is spelled out here.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.utils import CryptographyDeprecationWarning

# Root G1, 2019-10-28 to 2049-10-28. SHA-256 of its DER:
# 641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b.
AWS_ROOT: Final = x509.load_pem_x509_certificate(b"""\
-----BEGIN CERTIFICATE-----
MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTEL
MAkGA1UEBhMCVVMxDzANBgNVBAoMBkFtYXpvbjEMMAoGA1UECwwDQVdTMRswGQYD
VQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4
MTQyODA1WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQL
DANBV1MxGzAZBgNVBAMMEmF3cy5uaXRyby1lbmNsYXZlczB2MBAGByqGSM49AgEG
BSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb
48C8WBoyt7F2Bw7eEtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZE
h8l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUkCW1DdkF
R+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYC
MQCjfy+Rocm9Xue4YnwWmNJVA44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPW
rfMCMQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPLb+6N
IwLz3/Y=
-----END CERTIFICATE-----
""")

_UNDERSTOOD: Final = frozenset({x509.BasicConstraints.oid, x509.KeyUsage.oid})
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)
"""What `cryptography` raises for bytes that are no certificate or key which it knows; they have no base in common."""


class Fault(StrEnum):
    """What is wrong with a certificate or a chain."""

    FORM = "form"
    LINK = "link"
    PURPOSE = "purpose"
    TIME = "time"


class CertificateError(Exception):
    """A certificate or chain does not pass; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"certificate refused: {fault}")
        self.fault = fault


def load_certificate(der: bytes) -> x509.Certificate:
    """Parse a certificate and see that it holds a P-384 key and that all its extensions can be read.

    Raises:
        CertificateError: FORM.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        key, extensions = certificate.public_key(), certificate.extensions
        algorithm = certificate.signature_hash_algorithm
    except (*UNREADABLE, CryptographyDeprecationWarning) as error:
        # The warning counts where a caller made errors of warnings: a negative serial number, for one.
        raise CertificateError(Fault.FORM) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise CertificateError(Fault.FORM)
    if not isinstance(algorithm, SHA384) or any(e.critical and e.oid not in _UNDERSTOOD for e in extensions):
        raise CertificateError(Fault.FORM)
    return certificate


def check_chain(
    intermediates: Sequence[x509.Certificate],
    leaf: x509.Certificate,
    roots: Sequence[x509.Certificate],
    at: datetime,
) -> None:
    """See that `leaf` chains through `intermediates` (nearest the root first) to one of `roots`, all valid at `at`.

    Raises:
        CertificateError: LINK for a broken chain, PURPOSE for a certificate used beyond its rights, TIME.
    """
    chain = [_trusted_issuer(intermediates[0] if intermediates else leaf, roots), *intermediates, leaf]
    for below, (issuer, subject) in enumerate(zip(reversed(chain[:-1]), reversed(chain[1:]), strict=True)):
        _check_link(issuer, subject)
        _check_authority(issuer, intermediates_below=below)
    _check_leaf(leaf)
    for certificate in chain:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise CertificateError(Fault.TIME)


def _trusted_issuer(certificate: x509.Certificate, roots: Sequence[x509.Certificate]) -> x509.Certificate:
    for root in roots:
        try:
            _check_link(root, certificate)
        except CertificateError:
            continue
        return root
    raise CertificateError(Fault.LINK)


def _check_link(issuer: x509.Certificate, subject: x509.Certificate) -> None:
    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise CertificateError(Fault.LINK) from error


def _check_authority(certificate: x509.Certificate, *, intermediates_below: int) -> None:
    constraints, usage = _extension(certificate, x509.BasicConstraints), _extension(certificate, x509.KeyUsage)
    limit = constraints.path_length
    if not constraints.ca or not usage.key_cert_sign or (limit is not None and limit < intermediates_below):
        raise CertificateError(Fault.PURPOSE)


def _check_leaf(certificate: x509.Certificate) -> None:
    constraints, usage = _extension(certificate, x509.BasicConstraints), _extension(certificate, x509.KeyUsage)
    if constraints.ca or not usage.digital_signature:
        raise CertificateError(Fault.PURPOSE)


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound as error:
        raise CertificateError(Fault.PURPOSE) from error
