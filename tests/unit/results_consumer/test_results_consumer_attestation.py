"""Attestation documents: each step of the verification refuses what it is there for."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from devstack.nsm import SoftwareNsm
from devstack.root import DevelopmentRoot
from results_consumer.attestation import MAX_DOCUMENT, AttestationError, verify_document
from results_consumer.certificates import AWS_ROOT

ROOT = DevelopmentRoot.create()
PCR0 = bytes(range(48))
NSM = SoftwareNsm(ROOT, {0: PCR0, 1: b"\1" * 48})
MADE = datetime.now(UTC)
"""When this file was read; a long run comes to its tests much later."""
DOCUMENT = NSM.attest(public_key=b"public", user_data=b"data", nonce=b"nonce")


def parts(document: bytes = DOCUMENT) -> tuple[list[Any], dict[str, Any]]:
    """The COSE_Sign1 array and the payload of a document."""
    structure = cbor2.loads(document)
    return list(structure), dict(cbor2.loads(structure[2]))


def signed(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A document whose payload was changed by whoever holds a leaf key under the root: only the signature is right."""
    structure, payload = parts()
    leaf = ROOT.issue("test", MADE)
    payload["certificate"] = leaf.certificate.public_bytes(Encoding.DER)
    change(payload)
    body = cbor2.dumps(payload)
    r, s = decode_dss_signature(leaf.key.sign(cbor2.dumps(["Signature1", structure[0], b"", body]), ec.ECDSA(SHA384())))
    return cbor2.dumps([structure[0], {}, body, r.to_bytes(48, "big") + s.to_bytes(48, "big")])


def test_a_true_document_says_what_was_attested() -> None:
    """PCRs, key, data, nonce and time come back."""
    found = verify_document(DOCUMENT, [ROOT.certificate])
    assert found.pcrs[0] == PCR0
    assert (found.public_key, found.user_data, found.nonce) == (b"public", b"data", b"nonce")
    assert abs(MADE - found.timestamp) < timedelta(minutes=5)
    assert verify_document(b"\xd2" + DOCUMENT, [ROOT.certificate]) == found


def test_the_pinned_root_is_amazons() -> None:
    """Its digest is the one that AWS publishes."""
    der = AWS_ROOT.public_bytes(Encoding.DER)
    assert hashlib.sha256(der).hexdigest() == "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"


def test_a_development_document_fails_under_amazons_root() -> None:
    """What a laptop attests is worth nothing in production."""
    with pytest.raises(AttestationError) as caught:
        verify_document(DOCUMENT, [AWS_ROOT])
    assert (caught.value.code, caught.value.step) == ("chain", 6)


def test_another_development_root_is_no_root() -> None:
    """Each stack has its own."""
    with pytest.raises(AttestationError) as caught:
        verify_document(DOCUMENT, [DevelopmentRoot.create().certificate])
    assert (caught.value.code, caught.value.step) == ("chain", 6)


def _drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda payload: payload.pop(name)


def _set(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda payload: payload.__setitem__(name, value)


@pytest.mark.parametrize(
    ("document", "step"),
    [
        (b"", 1),
        (bytes(MAX_DOCUMENT + 1), 1),
        (b"\x80", 2),
        (DOCUMENT + b"\0", 2),
        (cbor2.dumps([*parts()[0][:3], b"short"]), 2),
        (cbor2.dumps([b"\xa1\x01\x26", *parts()[0][1:]]), 2),  # ES256
        (cbor2.dumps([*parts()[0][:1], {4: b"kid"}, *parts()[0][2:]]), 2),
        (signed(_drop("nonce")), 3),
        (signed(_set("more", 1)), 3),
        (signed(_set("certificate", b"no certificate")), 3),
        (cbor2.dumps([*parts()[0][:3], bytes(95) + b"\1"]), 4),
        (signed(_set("certificate", parts()[1]["certificate"])), 4),
        (signed(_set("digest", "SHA256")), 5),
        (signed(_set("timestamp", -1)), 5),
        (signed(_set("pcrs", {})), 5),
        (signed(_set("pcrs", {0: bytes(32)})), 5),
        (signed(_set("pcrs", {0: PCR0, 32: PCR0})), 5),
        (signed(_set("public_key", bytes(1025))), 5),
        (signed(_set("user_data", bytes(513))), 5),
        (signed(_set("nonce", "text")), 5),
        (signed(_set("module_id", "")), 5),
        (signed(_set("cabundle", [])), 6),
        (signed(_set("cabundle", [b"x"])), 6),
        (signed(_set("cabundle", parts()[1]["cabundle"][:1])), 6),
        (signed(_set("pcrs", {index: bytes(48) for index in range(16)})), 7),
    ],
)
def test_each_step_refuses_what_it_is_there_for(document: bytes, step: int) -> None:
    """The error names the step."""
    with pytest.raises(AttestationError) as caught:
        verify_document(document, [ROOT.certificate])
    assert caught.value.step == step


def test_a_certificate_of_an_unknown_version_is_refused() -> None:
    """Found by fuzzing: `cryptography` raises an error for it that is no ValueError."""
    leaf = parts()[1]["certificate"]
    odd = leaf.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x32", 1)
    assert odd != leaf
    with pytest.raises(AttestationError) as caught:
        verify_document(signed(_set("certificate", odd)), [ROOT.certificate])
    assert (caught.value.code, caught.value.step) == ("certificate", 3)


@pytest.mark.parametrize("late", [timedelta(hours=4), timedelta(hours=-4)])
def test_a_document_is_live_for_three_hours_and_an_archive_for_ever(late: timedelta) -> None:
    """Its certificates must be valid at the time that the caller names; by default that is its own."""
    with pytest.raises(AttestationError) as caught:
        verify_document(DOCUMENT, [ROOT.certificate], MADE + late)
    assert (caught.value.code, caught.value.step) == ("expired", 6)


def test_a_leaf_cannot_stand_in_for_an_authority() -> None:
    """A leaf that signs another leaf makes no chain: basicConstraints decides."""
    leaf = ROOT.issue("first", datetime.now(UTC))
    rogue = DevelopmentRoot(ROOT.certificate, leaf.certificate, leaf.key)
    document = SoftwareNsm(rogue, {0: PCR0}).attest(public_key=None, user_data=None, nonce=None)
    structure, payload = parts(document)
    assert x509.load_der_x509_certificate(payload["cabundle"][1]) == leaf.certificate
    with pytest.raises(AttestationError) as caught:
        verify_document(cbor2.dumps(structure), [ROOT.certificate])
    assert caught.value.step == 6


@given(st.data())
def test_a_changed_document_gives_the_one_error(data: st.DataObject) -> None:
    """Bytes flipped, cut or put in: AttestationError, or nothing else; never a document with another content."""
    changed = bytearray(DOCUMENT)
    at = data.draw(st.integers(0, len(changed) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "insert"])):
        case "flip":
            changed[at] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del changed[at:]
        case _:
            changed[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    with pytest.raises(AttestationError):
        verify_document(bytes(changed), [ROOT.certificate])


@given(st.binary(max_size=300))
def test_garbage_gives_the_one_error(document: bytes) -> None:
    """Any bytes."""
    with pytest.raises(AttestationError):
        verify_document(document, [ROOT.certificate])
