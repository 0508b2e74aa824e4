"""Release files: what an image and its model are measured as, signed, and refused when changed or unsigned."""

import base64
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from command import Typist
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from enclave_worker.manifest import load_manifest
from results_consumer.trust import ReleaseError, parse_release
from sealbatch.image.eif import Image, SectionKind, extend, read_image
from sealbatch.image.eif_writer import Part, write_image
from sealbatch.image.release import make_release, read_inputs
from sealbatch.image.signature import SigningError, load_signer
from wire.measurement import MODEL_PCR, model_register
from wire.release import PrivateKey, SignatureRefused, read_private_key, read_public_key

MODEL = Path(__file__).resolve().parents[3] / "models" / "benefits-bloom"
INPUTS = {"torch.whl": "ab" * 32}
KEYS: list[PrivateKey] = [
    ed25519.Ed25519PrivateKey.generate(),
    ec.generate_private_key(ec.SECP384R1()),
    ec.generate_private_key(ec.SECP256R1()),
]
METADATA = json.dumps({"CustomMetadata": {"inputs": INPUTS}}).encode()
PARTS = [
    Part(SectionKind.KERNEL, b"kernel"),
    Part(SectionKind.COMMAND_LINE, b"quiet"),
    Part(SectionKind.METADATA, METADATA),
    Part(SectionKind.RAMDISK, b"init"),
    Part(SectionKind.RAMDISK, b"application"),
]


def written(*more: Part) -> tuple[io.BytesIO, Image]:
    """A small image, and what is read of it."""
    file = io.BytesIO()
    write_image(file, [*PARTS, *more])
    file.seek(0)
    return file, read_image(file)


def pem(key: Any) -> bytes:
    """A private key as a file holds it."""
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return data


def public_pem(key: Any) -> bytes:
    """Its public key."""
    data: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


@pytest.mark.parametrize("key", KEYS)
def test_a_release_says_what_image_and_model_are_measured_as(key: PrivateKey) -> None:
    """And whose it is; the reader takes all of it."""
    file, image = written()
    data = make_release("1.0", image, read_inputs(file, image), MODEL, read_private_key(pem(key)))
    release = parse_release(data, read_public_key(public_pem(key)))
    digest = load_manifest(MODEL).digest
    assert release.pcrs == image.pcrs | {MODEL_PCR: model_register(digest)}
    assert release.digests["model"] == digest
    assert release.inputs == INPUTS
    assert parse_release(data) == release


@pytest.mark.parametrize(
    "change",
    [
        {"name": "1.1"},
        {"pcrs": {"0": "ab" * 48}},
        {"inputs": {}},
        {"settings": "ab" * 32},
        {"signature": "AAAA"},
        {"signature": "not base64"},
        {"signature": 7},
        {"signature": None},
    ],
)
@pytest.mark.parametrize("key", KEYS[:2])
def test_a_release_that_was_changed_is_refused(change: dict[str, Any], key: PrivateKey) -> None:
    """In any field; the signature covers them all."""
    _, image = written()
    value = json.loads(make_release("1.0", image, INPUTS, None, key)) | change
    public = read_public_key(public_pem(key))
    with pytest.raises(ReleaseError, match="signed"):
        parse_release(json.dumps(value).encode(), public)


def test_an_unsigned_release_or_one_of_another_key_is_refused_where_a_key_is_demanded() -> None:
    """A field that was left out counts as changed too."""
    _, image = written()
    public = read_public_key(public_pem(KEYS[0]))
    unsigned = make_release("1.0", image, INPUTS)
    assert parse_release(unsigned).name == "1.0"
    with pytest.raises(ReleaseError, match="it is not signed, and a key is demanded"):
        parse_release(unsigned, public)
    with pytest.raises(ReleaseError, match="not signed by the demanded key"):
        parse_release(make_release("1.0", image, INPUTS, None, KEYS[1]), public)
    value = json.loads(make_release("1.0", image, INPUTS, None, KEYS[0]))
    del value["inputs"]
    with pytest.raises(ReleaseError, match="changed since"):
        parse_release(json.dumps(value).encode(), public)


def test_a_model_whose_register_is_another_is_refused() -> None:
    """The two say the same thing, or the file is wrong."""
    _, image = written()
    value = json.loads(make_release("1.0", image, {}, MODEL))
    value["pcrs"]["16"] = "ab" * 48
    with pytest.raises(ReleaseError, match=r"pcrs\.16: not the register of the model"):
        parse_release(json.dumps(value).encode())


@pytest.mark.parametrize("inputs", [[], {"a": "short"}, {"a": 1}, dict.fromkeys(map(str, range(257)), "ab" * 32)])
def test_malformed_inputs_are_refused(inputs: object) -> None:
    """By their name."""
    _, image = written()
    value = json.loads(make_release("1.0", image, {})) | {"inputs": inputs}
    with pytest.raises(ReleaseError, match="inputs"):
        parse_release(json.dumps(value).encode())


@pytest.mark.parametrize(
    "metadata", [b"", b"[]", b"{}", b'{"CustomMetadata": {"inputs": [1]}}', b'{"CustomMetadata": {"inputs": {"a": 1}}}']
)
def test_an_image_of_somebody_else_says_nothing_of_its_inputs(metadata: bytes) -> None:
    """Its metadata hold what they like."""
    file = io.BytesIO()
    write_image(file, [part if part.kind is not SectionKind.METADATA else Part(part.kind, metadata) for part in PARTS])
    file.seek(0)
    assert read_inputs(file, read_image(file)) == {}


@pytest.mark.parametrize("key", [b"no key", pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))])
def test_another_kind_of_key_is_refused(key: bytes) -> None:
    """With the reason."""
    with pytest.raises(SignatureRefused, match=r"not a private key|neither an Ed25519"):
        read_private_key(key)
    with pytest.raises(SignatureRefused, match="not a public key"):
        read_public_key(key)


def certificate_of(key: Any) -> x509.Certificate:
    """A certificate that the key signed itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "release")])
    start = datetime.now(UTC)
    return x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1)).sign(
        key, SHA384()
    )


def test_a_signed_image_has_its_certificates_register() -> None:
    """The section is the one that AWS's tools write; its signature is over PCR0 and verifies."""
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = certificate_of(key)
    signer = load_signer(pem(key), certificate.public_bytes(Encoding.PEM))
    _, unsigned = written()
    section = signer.section(unsigned.pcrs[0])
    _, image = written(Part(SectionKind.SIGNATURE, section))
    der = certificate.public_bytes(Encoding.DER)
    assert image.pcrs == unsigned.pcrs | {8: extend(hashlib.sha384(der).digest())}
    protected, unprotected, payload, signature = cbor2.loads(bytes(cbor2.loads(section)[0]["signature"]))
    assert (cbor2.loads(protected), unprotected) == ({1: -35}, {})
    assert cbor2.loads(payload) == {"register_index": 0, "register_value": list(unsigned.pcrs[0])}
    halves = (int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big"))
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    key.public_key().verify(encode_dss_signature(*halves), signed, ec.ECDSA(SHA384()))


def test_a_key_that_cannot_sign_an_image_is_refused() -> None:
    """One of another kind, or of another certificate."""
    key, other = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    certificate = certificate_of(key).public_bytes(Encoding.PEM)
    for name, wrong in (
        ("another key", other),
        ("not ECDSA", KEYS[0]),
        ("not ECDSA", ec.generate_private_key(ec.SECP256K1())),
    ):
        with pytest.raises(SigningError, match=name):
            load_signer(pem(wrong), certificate)
    with pytest.raises(SigningError, match="no private key"):
        load_signer(certificate, certificate)
    with pytest.raises(SigningError, match="no certificate"):
        load_signer(pem(key), pem(key))
    der = certificate_of(key).public_bytes(Encoding.DER).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x32", 1)
    unknown = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    with pytest.raises(SigningError, match="no certificate"):  # its version has an error of its own
        load_signer(pem(key), unknown)


def test_the_command_signs_and_the_configured_key_is_demanded(tmp_path: Path) -> None:
    """`policy render` takes both registers from a release, and refuses one that the demanded key did not sign."""
    typist = Typist(tmp_path)
    file, image = written()
    (tmp_path / "x.eif").write_bytes(file.getvalue())
    (tmp_path / "key.pem").write_bytes(pem(KEYS[0]))
    (tmp_path / "release.pub").write_bytes(public_pem(KEYS[0]))
    eif, key = str(tmp_path / "x.eif"), str(tmp_path / "key.pem")
    made = typist.type("image", "release", eif, "--name", "1.0", "--model", str(MODEL), "--key", key)
    assert made.returncode == 0, made.stderr
    (tmp_path / "pcrs.json").write_bytes(made.stdout)
    roles = [
        item
        for role in ("administrator", "producer", "bridge")
        for item in (f"--{role}", f"arn:aws:iam::123456789012:role/{role}")
    ]
    render = ("--set", f"release_key={tmp_path / 'release.pub'}", "policy", "render", "question", *roles, "--release")
    policy = typist.type(*render, str(tmp_path / "pcrs.json"))
    assert policy.returncode == 0, policy.stderr
    assert image.pcrs[0].hex().encode() in policy.stdout
    assert model_register(load_manifest(MODEL).digest).hex().encode() in policy.stdout
    (tmp_path / "pcrs.json").write_bytes(made.stdout.replace(b'"1.0"', b'"1.1"'))
    refused = typist.type(*render, str(tmp_path / "pcrs.json"))
    assert refused.returncode == 9
    assert b"pcrs.json: it is not signed by the demanded key, or was changed since" in refused.stderr
