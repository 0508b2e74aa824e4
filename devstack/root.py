"""The development root: what stands where Amazon's Nitro root stands, for software NSMs on one machine.

Root and intermediate live as long as the folder that holds them. The root's key signs the intermediate and is then
forgotten; the intermediate's key plays the hypervisor and signs leaves of three hours, as AWS's do.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from devstack.files import PRIVATE_FOLDER, write_private

FOLDER: Final = "attestation"
CHAIN_LIFE: Final = timedelta(days=30)
LEAF_LIFE: Final = timedelta(hours=3)
RENEW_BEFORE: Final = timedelta(hours=1)  # a chain or leaf with less than this left is made anew
SKEW: Final = timedelta(minutes=5)

_ROOT, _INTERMEDIATE, _KEY = "root.pem", "intermediate.pem", "intermediate.key"
ROOT_PATH: Final = f"{FOLDER}/{_ROOT}"
"""Where the root's certificate lies in the development folder."""


class RootError(Exception):
    """The folder holds no usable development root."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A key and certificate that sign attestation documents for up to three hours."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class DevelopmentRoot:
    """A P-384 root, an intermediate below it, and the intermediate's key."""

    certificate: x509.Certificate
    intermediate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, now: datetime | None = None) -> Self:
        """Make a fresh root and intermediate, good for 30 days."""
        start = now or datetime.now(UTC)
        root_key, key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
        name, below = _name("sealbatch development root"), _name("sealbatch development hypervisor")
        root = _authority(name, name, root_key.public_key(), path_length=None, start=start).sign(root_key, SHA384())
        intermediate = _authority(below, name, key.public_key(), path_length=0, start=start).sign(root_key, SHA384())
        return cls(root, intermediate, key)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the root that `save` or `ensure` left in the development folder.

        Raises:
            RootError: there is none, or it cannot be read.
        """
        place = folder / FOLDER
        try:
            root = x509.load_pem_x509_certificate((place / _ROOT).read_bytes())
            intermediate = x509.load_pem_x509_certificate((place / _INTERMEDIATE).read_bytes())
            key = load_pem_private_key((place / _KEY).read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise RootError(f"no development root in {place}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != intermediate.public_key():
            raise RootError(f"the development root in {place} does not fit its key")
        return cls(root, intermediate, key)

    @classmethod
    def ensure(cls, folder: Path) -> Self:
        """Read the folder's root; make one where there is none or it is about to expire.

        Two processes that start together end with the same root.

        Raises:
            OSError: the folder is not writable.
        """
        try:
            root = cls.load(folder)
        except RootError:
            cls.create().save(folder)
            return cls.load(folder)
        if root.certificate.not_valid_after_utc > datetime.now(UTC) + RENEW_BEFORE:
            return root
        shutil.rmtree(folder / FOLDER)
        return cls.ensure(folder)

    def save(self, folder: Path) -> None:
        """Write the root into the development folder, whole, unless one is there already.

        Raises:
            OSError: the folder is not writable.
        """
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder, prefix=f".{FOLDER}."))
        private = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(draft / _ROOT, self.certificate.public_bytes(Encoding.PEM))
        write_private(draft / _INTERMEDIATE, self.intermediate.public_bytes(Encoding.PEM))
        write_private(draft / _KEY, private)
        try:
            draft.rename(folder / FOLDER)
        except OSError:  # not empty: another process was first, and its root counts
            shutil.rmtree(draft)
            if not (folder / FOLDER).is_dir():
                raise

    def issue(self, module_id: str, now: datetime) -> Leaf:
        """A fresh leaf for the NSM called `module_id`."""
        key = ec.generate_private_key(ec.SECP384R1())
        builder = _builder(_name(module_id), self.intermediate.subject, key.public_key(), now - SKEW, now + LEAF_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        return Leaf(key, builder.sign(self.key, SHA384()))


def _authority(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    *,
    path_length: int | None,
    start: datetime,
) -> x509.CertificateBuilder:
    builder = _builder(subject, issuer, key, start - SKEW, start + CHAIN_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return builder.add_extension(_usage(signs_certificates=True), critical=True)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    builder = builder.serial_number(int.from_bytes(os.urandom(15), "big") + 1)
    return builder.not_valid_before(start).not_valid_after(end)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
