"""Signatures of release files: who published an image says so of every field of its file."""

import base64
import json
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

SIGNATURE: Final = "signature"
PREFIX: Final = b"sealbatch/1 release\0"
"""What is signed begins so: a signature of something else is none of a release."""

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


class SignatureRefused(Exception):  # noqa: N818 - says what happened
    """A release is unsigned, or signed by another key, or changed since; or a key is none. The text says which."""


def to_be_signed(fields: Mapping[str, object]) -> bytes:
    """All fields but the signature, in the one spelling that is signed."""
    signed = {name: value for name, value in fields.items() if name != SIGNATURE}
    return PREFIX + json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sign(fields: Mapping[str, object], key: PrivateKey) -> str:
    """The signature of a release's fields, in base64: Ed25519, or ECDSA with SHA-384."""
    data = to_be_signed(fields)
    made = key.sign(data) if isinstance(key, ed25519.Ed25519PrivateKey) else key.sign(data, ec.ECDSA(SHA384()))
    return base64.b64encode(made).decode()


def verify(fields: Mapping[str, object], key: PublicKey) -> None:
    """The fields were signed by the owner of this key.

    Raises:
        SignatureRefused: they were not.
    """
    text = fields.get(SIGNATURE)
    if text is None:
        raise SignatureRefused("it is not signed, and a key is demanded")
    try:
        made = base64.b64decode(text if isinstance(text, str) else "", validate=True)
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(made, to_be_signed(fields))
        else:
            key.verify(made, to_be_signed(fields), ec.ECDSA(SHA384()))
    except (ValueError, InvalidSignature):  # base64 that is none is a ValueError
        raise SignatureRefused("it is not signed by the demanded key, or was changed since") from None


def read_private_key(pem: bytes) -> PrivateKey:
    """A key to sign with, in PEM and without a password.

    Raises:
        SignatureRefused: it is none, or of another kind.
    """
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SignatureRefused("not a private key in PEM without a password") from None
    if not isinstance(key, PrivateKey):
        raise SignatureRefused("neither an Ed25519 nor an ECDSA key")
    return key


def read_public_key(pem: bytes) -> PublicKey:
    """A key to verify with, in PEM.

    Raises:
        SignatureRefused: it is none, or of another kind.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise SignatureRefused("not a public key in PEM") from None
    if not isinstance(key, PublicKey):
        raise SignatureRefused("neither an Ed25519 nor an ECDSA key")
    return key
