"""A software NSM: real attestation documents, signed under the development root.

It makes the same bytes as the device does, so KMS's stand-in and the reader verify them by the code that verifies
Amazon's; under Amazon's root they fail.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from devstack.root import RENEW_BEFORE, DevelopmentRoot, Leaf
from enclave_worker.attestor import AttestorError

MODULE_ID: Final = "sealbatch-devstack"
PCR_COUNT: Final = 16  # what the device of a Nitro instance reports
PCR_SIZE: Final = 48
MAX_PUBLIC_KEY: Final = 1024
MAX_USER_DATA: Final = 512
MAX_NONCE: Final = 512

_PROTECTED: Final = cbor2.dumps({1: -35})  # ES384


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


class SoftwareNsm:
    """An attestor whose measurements are given to it. Safe to use from several threads."""

    def __init__(
        self, root: DevelopmentRoot, pcrs: Mapping[int, bytes], clock: Callable[[], datetime] = utc_now
    ) -> None:
        """Hold `pcrs` (index 0 to 15, 48 bytes each) as locked registers; the others are zero.

        Raises:
            AttestorError: a register that the device does not have, or a value of another size.
        """
        if any(not 0 <= index < PCR_COUNT or len(pcr) != PCR_SIZE for index, pcr in pcrs.items()):
            raise AttestorError("a register is out of range or not 48 bytes long")
        self._root = root
        self._pcrs = {index: bytes(pcrs.get(index, bytes(PCR_SIZE))) for index in range(PCR_COUNT)}
        self._clock = clock
        self._lock = threading.Lock()
        self._leaf: Leaf | None = None

    @classmethod
    def load(cls, folder: Path, pcrs: Mapping[int, bytes]) -> Self:
        """An NSM under the root of a development folder, which is made when there is none.

        Raises:
            OSError: the folder is not writable.
            AttestorError: as for the constructor.
        """
        return cls(DevelopmentRoot.ensure(folder), pcrs)

    def pcr(self, index: int) -> bytes:
        """The 48 bytes of register `index`.

        Raises:
            AttestorError: there is no such register.
        """
        if index not in self._pcrs:
            raise AttestorError("InvalidIndex")
        return self._pcrs[index]

    def attest(self, *, public_key: bytes | None, user_data: bytes | None, nonce: bytes | None) -> bytes:
        """A fresh attestation document that holds the three values, as the device would sign it.

        Raises:
            AttestorError: a value is longer than the device takes.
        """
        for value, limit in ((public_key, MAX_PUBLIC_KEY), (user_data, MAX_USER_DATA), (nonce, MAX_NONCE)):
            if value is not None and len(value) > limit:
                raise AttestorError("InputTooLarge")
        now = self._clock()
        leaf = self._current_leaf(now)
        payload = cbor2.dumps(
            {
                "module_id": MODULE_ID,
                "digest": "SHA384",
                "timestamp": int(now.timestamp() * 1000),
                "pcrs": self._pcrs,
                "certificate": leaf.certificate.public_bytes(Encoding.DER),
                "cabundle": [
                    self._root.certificate.public_bytes(Encoding.DER),
                    self._root.intermediate.public_bytes(Encoding.DER),
                ],
                "public_key": public_key,
                "user_data": user_data,
                "nonce": nonce,
            }
        )
        return cbor2.dumps([_PROTECTED, {}, payload, _sign(leaf.key, payload)])

    def _current_leaf(self, now: datetime) -> Leaf:
        with self._lock:
            if self._leaf is None or self._leaf.certificate.not_valid_after_utc < now + RENEW_BEFORE:
                self._leaf = self._root.issue(MODULE_ID, now)
            return self._leaf


def _sign(key: ec.EllipticCurvePrivateKey, payload: bytes) -> bytes:
    structure = cbor2.dumps(["Signature1", _PROTECTED, b"", payload])
    r, s = decode_dss_signature(key.sign(structure, ec.ECDSA(SHA384())))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")
