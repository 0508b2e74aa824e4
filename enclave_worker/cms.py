"""Opens KMS's CiphertextForRecipient: CMS EnvelopedData (RFC 5652) exactly as KMS writes it, and nothing else.

KMS uses BER's indefinite lengths for the outer layers and definite ones inside:

```
30 80 OID envelopedData                             ContentInfo
  A0 80 30 80 02 01 02                              EnvelopedData, version 2
    31 L 30 L 02 01 02 80 20 <32>                   one KeyTransRecipientInfo, named by a subject key identifier
      30 3C OID RSAES-OAEP {SHA-256, MGF1 SHA-256}
      04 L <RSA ciphertext>
    30 80 OID data 30 1D OID aes256-CBC 04 10 <IV>
      A0 80 04 30 <48> 00 00   or   80 30 <48>
    00 00
  00 00 00 00
00 00
```
Nothing authenticates this: whoever knows the public key can make one. Two things keep it from becoming an oracle for
the key inside. Only a 32-byte key is accepted, so the last CBC block must be exactly 16 bytes of padding and says
nothing about the key when blocks are moved around; and there is one error for every failure, which the keyring
answers by going on with a random key, so that a bad reply and a wrong key look alike from outside.
"""

import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256

MAX_SIZE: Final = 2048
"""Largest message in bytes; with RSA-2048 and a 32-byte key it has 493, in the primitive form 489."""
KEY_SIZE: Final = 32
BLOCK: Final = 16
CIPHERTEXT_SIZE: Final = KEY_SIZE + BLOCK
IDENTIFIER_SIZE: Final = 32
"""Bytes of the subject key identifier; opaque, because there is one recipient and one key."""

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_OCTETS: Final = 0x04
_IDENTIFIER: Final = 0x80
_INDEFINITE: Final = b"\x80"
_END: Final = b"\x00\x00"
_VERSION_2: Final = bytes.fromhex("020102")
_ENVELOPED_DATA: Final = bytes.fromhex("06092a864886f70d010703")
_DATA: Final = bytes.fromhex("06092a864886f70d010701")
_AES256_CBC: Final = bytes.fromhex("301d060960864801650304012a0410")
_OAEP_SHA256: Final = bytes.fromhex(
    "303c06092a864886f70d010107302fa00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500"
)
_PADDING: Final = bytes([BLOCK]) * BLOCK


class CmsError(Exception):
    """The message is not one that KMS made for this key. Why, nobody is told."""

    def __init__(self) -> None:
        super().__init__("not a CiphertextForRecipient for this key")


def open_recipient(private_key: RSAPrivateKey, message: bytes) -> bytes:
    """The 32-byte data key inside `message`.

    Raises:
        CmsError: anything at all is wrong with it.
    """
    wrapped, vector, ciphertext = _parse(message, private_key.key_size // 8)
    try:
        key = private_key.decrypt(wrapped, OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None))
    except ValueError:
        raise CmsError from None
    if len(key) != KEY_SIZE:
        raise CmsError
    decryptor = Cipher(AES256(key), CBC(vector)).decryptor()
    plaintext = decryptor.update(ciphertext) + decryptor.finalize()
    if not hmac.compare_digest(plaintext[KEY_SIZE:], _PADDING):
        raise CmsError
    return plaintext[:KEY_SIZE]


def _parse(message: bytes, modulus_size: int) -> tuple[bytes, bytes, bytes]:
    """The encrypted content key, the IV and the ciphertext."""
    if len(message) > MAX_SIZE:
        raise CmsError
    reader = _Reader(message)
    reader.expect(bytes([_SEQUENCE]) + _INDEFINITE + _ENVELOPED_DATA)
    reader.expect(bytes([0xA0]) + _INDEFINITE + bytes([_SEQUENCE]) + _INDEFINITE + _VERSION_2)
    recipients = reader.element(_SET)
    wrapped = _parse_recipient(recipients, modulus_size)
    reader.expect(bytes([_SEQUENCE]) + _INDEFINITE + _DATA + _AES256_CBC)
    vector = reader.take(BLOCK)
    ciphertext = _parse_content(reader)
    reader.expect(_END * 4)
    reader.end()
    return wrapped, vector, ciphertext


def _parse_recipient(recipients: "_Reader", modulus_size: int) -> bytes:
    recipient = recipients.element(_SEQUENCE)
    recipients.end()
    recipient.expect(_VERSION_2)
    identifier = recipient.element(_IDENTIFIER)
    identifier.take(IDENTIFIER_SIZE)
    identifier.end()
    recipient.expect(_OAEP_SHA256)
    octets = recipient.element(_OCTETS)
    wrapped = octets.take(modulus_size)
    octets.end()
    recipient.end()
    return wrapped


def _parse_content(reader: "_Reader") -> bytes:
    """The ciphertext as a primitive [0], or as one octet string in a constructed one of indefinite length."""
    if reader.next_is(_IDENTIFIER):
        content = reader.element(_IDENTIFIER)
    else:
        reader.expect(bytes([0xA0]) + _INDEFINITE)
        content = reader.element(_OCTETS)
        reader.expect(_END)
    ciphertext = content.take(CIPHERTEXT_SIZE)
    content.end()
    return ciphertext


class _Reader:
    """A cursor over the message that knows definite lengths in their shortest form only."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, size: int) -> bytes:
        taken = self._data[self._position : self._position + size]
        if len(taken) != size:
            raise CmsError
        self._position += size
        return taken

    def expect(self, expected: bytes) -> None:
        if self.take(len(expected)) != expected:
            raise CmsError

    def next_is(self, tag: int) -> bool:
        return self._data[self._position : self._position + 1] == bytes([tag])

    def element(self, tag: int) -> "_Reader":
        """A reader of the element with this tag."""
        self.expect(bytes([tag]))
        return _Reader(self.take(self._length()))

    def end(self) -> None:
        if self._position != len(self._data):
            raise CmsError

    def _length(self) -> int:
        first = self.take(1)[0]
        if first < 0x80:
            return first
        if first not in {0x81, 0x82}:
            raise CmsError
        length = int.from_bytes(self.take(first - 0x80), "big")
        if length < (0x80 if first == 0x81 else 0x100):
            raise CmsError
        return length
