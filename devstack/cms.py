"""KMS's `CiphertextForRecipient`: CMS EnvelopedData for one recipient, in the BER that AWS writes, byte for byte.

One RSA-OAEP-SHA256 recipient named by a subject key identifier, AES-256-CBC content, and indefinite lengths on every
constructed value outside the recipient. 493 bytes for a 32-byte key under RSA-2048.
"""

import hashlib
import os
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_INTEGER_2: Final = bytes.fromhex("020102")
_END: Final = b"\x00\x00"
_SEQUENCE, _SET, _OCTETS, _CONTEXT_0, _CONTEXT_0_PRIMITIVE = b"\x30", b"\x31", b"\x04", b"\xa0", b"\x80"
_ENVELOPED_DATA: Final = bytes.fromhex("06092a864886f70d010703")
_DATA: Final = bytes.fromhex("06092a864886f70d010701")
_AES_256_CBC: Final = bytes.fromhex("060960864801650304012a")
# RSAES-OAEP with SHA-256 and MGF1 with SHA-256; the empty label is the default and left out.
_OAEP_SHA256: Final = bytes.fromhex(
    "303c06092a864886f70d010107302fa00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500"
)


def envelop(plaintext: bytes, recipient: rsa.RSAPublicKey) -> bytes:
    """Encrypt `plaintext` so that only the holder of `recipient`'s private key reads it. Nothing authenticates it."""
    content_key, iv = os.urandom(32), os.urandom(16)
    wrapped = recipient.encrypt(content_key, padding.OAEP(padding.MGF1(SHA256()), SHA256(), label=None))
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(content_key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    return assemble(key_identifier(recipient), wrapped, iv, ciphertext)


def key_identifier(key: rsa.RSAPublicKey) -> bytes:
    """The 32 bytes that name the recipient; readers take them as opaque."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def assemble(identifier: bytes, wrapped: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """The ContentInfo around the four values."""
    recipient = _definite(
        _SEQUENCE,
        _INTEGER_2 + _definite(_CONTEXT_0_PRIMITIVE, identifier) + _OAEP_SHA256 + _definite(_OCTETS, wrapped),
    )
    algorithm = _definite(_SEQUENCE, _AES_256_CBC + _definite(_OCTETS, iv))
    content = _indefinite(_SEQUENCE, _DATA + algorithm + _indefinite(_CONTEXT_0, _definite(_OCTETS, ciphertext)))
    enveloped = _indefinite(_SEQUENCE, _INTEGER_2 + _definite(_SET, recipient) + content)
    return _indefinite(_SEQUENCE, _ENVELOPED_DATA + _indefinite(_CONTEXT_0, enveloped))


def _indefinite(tag: bytes, content: bytes) -> bytes:
    return tag + b"\x80" + content + _END


def _definite(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return tag + bytes([size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return tag + bytes([0x80 | len(length)]) + length + content
