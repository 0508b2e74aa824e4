"""Read and verify Nitro attestation documents: a COSE_Sign1 over a CBOR map, under a chain to a pinned root.

A document says which image runs (its PCRs) and carries a public key, user data and a nonce of the enclave's choice.
Whoever relies on one decides which PCRs to accept; here is only settled that the hypervisor said so, and when.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from results_consumer.certificates import CertificateError, Fault, check_chain, load_certificate
from wire.measurement import PCR_SIZE
from wire.receipt import SIGNATURE_SIZE, to_be_signed

MAX_DOCUMENT: Final = 16 * 1024  # the NSM's are about 5 KiB
MAX_MODULE_ID: Final = 256
MAX_CERTIFICATE: Final = 1024
MAX_CABUNDLE: Final = 8
MAX_PUBLIC_KEY: Final = 1024
MAX_USER_DATA: Final = 512
MAX_NONCE: Final = 512
MAX_PCRS: Final = 32
MAX_TIMESTAMP_MS: Final = 253_402_300_799_999  # the last millisecond that `datetime` can hold

_MAX_DEPTH: Final = 4
_COSE_SIGN1_TAG: Final = b"\xd2"  # tag 18; AWS leaves it out
_PROTECTED: Final = bytes.fromhex("a1013822")  # {1: -35}, which is ES384
_FIELDS: Final = frozenset(
    {"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce"}
)


class Code(StrEnum):
    """Why a document was refused."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    FIELD = "field"
    CERTIFICATE = "certificate"
    SIGNATURE = "signature"
    CHAIN = "chain"
    EXPIRED = "expired"
    DEBUG = "debug"


class AttestationError(Exception):
    """A document is malformed, not authentic, out of time, or of an enclave in debug mode.

    `code` says why and `step` is the number of the step of `verify_document` that refused it.
    """

    def __init__(self, code: Code, step: int) -> None:
        super().__init__(f"attestation document refused: {code} at step {step}")
        self.code = code
        self.step = step


@dataclass(frozen=True, slots=True)
class AttestationDocument:
    """What a verified document says. `pcrs` maps an index, 0 to 31, to 48 bytes."""

    module_id: str
    timestamp: datetime
    pcrs: Mapping[int, bytes]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class _Signed:
    payload: bytes
    signature: bytes


def verify_document(
    document: bytes,
    roots: Sequence[x509.Certificate],
    at: datetime | None = None,
) -> AttestationDocument:
    """Verify a document under one of `roots` and return what it says.

    Args:
        document: the COSE_Sign1 structure as the NSM gave it, at most 16 KiB.
        roots: the certificates to trust; the bundle's own root is never looked at.
        at: when the certificates must be valid; None is the document's own time, for archives.

    Raises:
        AttestationError: for every document that does not pass; nothing else is raised, whatever the bytes.
    """
    # 1. The size, before anything is parsed.
    if not 0 < len(document) <= MAX_DOCUMENT:
        raise AttestationError(Code.TOO_LARGE, 1)
    # 2. The COSE_Sign1 structure: four items, ES384 and nothing else, one encoding, no trailing bytes.
    signed = _read_sign1(document)
    # 3. The payload is a map of exactly the known fields. Only the certificates are used before the signature held.
    fields = _read_payload(signed.payload)
    leaf = _leaf(fields["certificate"])
    # 4. The leaf key signed the payload.
    _check_signature(leaf, signed)
    # 5. The other fields have their types and keep their limits.
    attested = _attested(fields)
    # 6. The leaf chains to a trusted root, and every certificate was valid at the time.
    _check_chain(leaf, fields["cabundle"], roots, at or attested.timestamp)
    # 7. It is no enclave in debug mode, which anybody on the parent can read: such a one has an all-zero PCR0.
    if attested.pcrs[0] == bytes(PCR_SIZE):
        raise AttestationError(Code.DEBUG, 7)
    return attested


def is_signed(key: ec.EllipticCurvePublicKey, payload: bytes, signature: bytes) -> bool:
    """Whether the 96 bytes of a COSE_Sign1 structure are the key's ES384 signature of its payload."""
    r, s = (int.from_bytes(half, "big") for half in (signature[:48], signature[48:]))
    try:
        key.verify(encode_dss_signature(r, s), to_be_signed(payload), ec.ECDSA(SHA384()))
    except InvalidSignature:
        return False
    return True


def _read_sign1(document: bytes) -> _Signed:
    untagged = document.removeprefix(_COSE_SIGN1_TAG)
    match _decode(untagged, step=2):
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
            if protected == _PROTECTED and unprotected == {} and len(signature) == SIGNATURE_SIZE:
                return _Signed(payload, signature)
    raise AttestationError(Code.MALFORMED, 2)


def _read_payload(payload: bytes) -> dict[str, object]:
    fields = _decode(payload, step=3)
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise AttestationError(Code.MALFORMED, 3)
    return fields


def _decode(data: bytes, *, step: int) -> object:
    try:
        value: object = cbor2.loads(data, max_depth=_MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False)
        # One encoding only: no tag, no long form of a length and no trailing byte survives being written again.
        if cbor2.dumps(value) == data:
            return value
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise AttestationError(Code.MALFORMED, step) from error
    raise AttestationError(Code.MALFORMED, step)


def _leaf(der: object) -> x509.Certificate:
    try:
        return load_certificate(_byte_string(der, 1, MAX_CERTIFICATE, step=3))
    except CertificateError as error:
        raise AttestationError(Code.CERTIFICATE, 3) from error


def _check_signature(leaf: x509.Certificate, signed: _Signed) -> None:
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):  # load_certificate admits P-384 only
        raise AttestationError(Code.CERTIFICATE, 4)
    if not is_signed(key, signed.payload, signed.signature):
        raise AttestationError(Code.SIGNATURE, 4)


def _attested(fields: Mapping[str, object]) -> AttestationDocument:
    module_id, timestamp = fields["module_id"], fields["timestamp"]
    if not isinstance(module_id, str) or not 0 < len(module_id) <= MAX_MODULE_ID or fields["digest"] != "SHA384":
        raise AttestationError(Code.FIELD, 5)
    if type(timestamp) is not int or not 0 < timestamp <= MAX_TIMESTAMP_MS:
        raise AttestationError(Code.FIELD, 5)
    return AttestationDocument(
        module_id=module_id,
        timestamp=datetime.fromtimestamp(timestamp / 1000, UTC),
        pcrs=_pcrs(fields["pcrs"]),
        public_key=_optional(fields["public_key"], 1, MAX_PUBLIC_KEY),
        user_data=_optional(fields["user_data"], 0, MAX_USER_DATA),
        nonce=_optional(fields["nonce"], 0, MAX_NONCE),
    )


def _pcrs(value: object) -> dict[int, bytes]:
    if not isinstance(value, dict) or not 0 < len(value) <= MAX_PCRS or 0 not in value:
        raise AttestationError(Code.FIELD, 5)
    for index, pcr in value.items():
        if type(index) is not int or not 0 <= index < MAX_PCRS:
            raise AttestationError(Code.FIELD, 5)
        _byte_string(pcr, PCR_SIZE, PCR_SIZE, step=5)
    return value


def _optional(value: object, low: int, high: int) -> bytes | None:
    return None if value is None else _byte_string(value, low, high, step=5)


def _byte_string(value: object, low: int, high: int, *, step: int) -> bytes:
    if not isinstance(value, bytes) or not low <= len(value) <= high:
        raise AttestationError(Code.FIELD, step)
    return value


def _check_chain(leaf: x509.Certificate, bundle: object, roots: Sequence[x509.Certificate], at: datetime) -> None:
    if not isinstance(bundle, list) or not 0 < len(bundle) <= MAX_CABUNDLE:
        raise AttestationError(Code.FIELD, 6)
    encoded = [_byte_string(item, 1, MAX_CERTIFICATE, step=6) for item in bundle]
    try:
        # The bundle's first entry is the root as the sender has it; only our own counts.
        check_chain([load_certificate(der) for der in encoded[1:]], leaf, roots, at)
    except CertificateError as error:
        raise AttestationError(Code.EXPIRED if error.fault is Fault.TIME else Code.CHAIN, 6) from error
