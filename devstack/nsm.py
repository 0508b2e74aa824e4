"""A software NSM: real attestation documents, signed under the development root, and registers that lock.

It makes the same bytes as the device does, so KMS's stand-in and the reader verify them by the code that verifies
Amazon's; under Amazon's root they fail.
"""

import hashlib
import os
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
from enclave_worker.nsm import (
    MAX_EXTENSION,
    MAX_NONCE,
    MAX_PCR,
    MAX_PUBLIC_KEY,
    MAX_RANDOM,
    MAX_USER_DATA,
    NsmError,
    Register,
)
from wire.measurement import PCR_SIZE

MODULE_ID: Final = "sealbatch-devstack"
PLATFORM_PCRS: Final = 16
"""Registers below this one are the hypervisor's: locked before the enclave starts."""

_PROTECTED: Final = cbor2.dumps({1: -35})  # ES384


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


class SoftwareNsm:
    """What `NsmDevice` is, with measurements that are given to it. Safe for threads.

    Errors are the device's own, of the same code.
    """

    def __init__(
        self, root: DevelopmentRoot, pcrs: Mapping[int, bytes], clock: Callable[[], datetime] = utc_now
    ) -> None:
        """Hold `pcrs` (index 0 to 15, 48 bytes each) in the hypervisor's registers; the others are zero.

        Raises:
            AttestorError: a register that the hypervisor does not set, or a value of another size.
        """
        if any(not 0 <= index < PLATFORM_PCRS or len(pcr) != PCR_SIZE for index, pcr in pcrs.items()):
            raise AttestorError("a register is out of range or not 48 bytes long")
        self._root = root
        self._pcrs = {index: bytes(pcrs.get(index, bytes(PCR_SIZE))) for index in range(MAX_PCR)}
        self._locked = set(range(PLATFORM_PCRS))
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
            NsmError: there is no such register.
        """
        return self.describe_pcr(index).data

    def random(self) -> bytes:
        """256 random bytes."""
        return os.urandom(MAX_RANDOM)

    def describe_pcr(self, index: int) -> Register:
        """The value of a register, and whether it is locked.

        Raises:
            NsmError: there is no such register.
        """
        self._check("DescribePCR", index)
        with self._lock:
            return Register(index in self._locked, self._pcrs[index])

    def extend_pcr(self, index: int, data: bytes) -> bytes:
        """Set a register to SHA-384 of its value and `data`, and return that.

        Raises:
            NsmError: there is no such register, it is locked, or the data is empty or too long.
        """
        self._check("ExtendPCR", index)
        if not 0 < len(data) <= MAX_EXTENSION:
            raise NsmError("ExtendPCR", "InputTooLarge" if data else "InvalidArgument")
        with self._lock:
            if index in self._locked:
                raise NsmError("ExtendPCR", "ReadOnlyIndex")
            self._pcrs[index] = hashlib.sha384(self._pcrs[index] + data).digest()
            return self._pcrs[index]

    def lock_pcr(self, index: int) -> None:
        """Make a register read-only; the hypervisor's cannot be locked again.

        Raises:
            NsmError: there is no such register, or it is the hypervisor's.
        """
        self._check("LockPCR", index)
        if index < PLATFORM_PCRS:
            raise NsmError("LockPCR", "ReadOnlyIndex")
        with self._lock:
            self._locked.add(index)

    def attest(self, *, public_key: bytes | None, user_data: bytes | None, nonce: bytes | None) -> bytes:
        """A fresh attestation document that holds the three values and all locked registers, as the device signs it.

        Raises:
            NsmError: a value is longer than the device takes.
        """
        for value, limit in ((public_key, MAX_PUBLIC_KEY), (user_data, MAX_USER_DATA), (nonce, MAX_NONCE)):
            if value is not None and len(value) > limit:
                raise NsmError("Attestation", "InputTooLarge")
        now = self._clock()
        leaf = self._current_leaf(now)
        payload = cbor2.dumps(
            {
                "module_id": MODULE_ID,
                "digest": "SHA384",
                "timestamp": int(now.timestamp() * 1000),
                "pcrs": self._attested(),
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

    def _attested(self) -> dict[int, bytes]:
        # A register that can still change says nothing; the device leaves it out.
        with self._lock:
            return {index: self._pcrs[index] for index in sorted(self._locked)}

    def _check(self, operation: str, index: int) -> None:
        if not 0 <= index < MAX_PCR:
            raise NsmError(operation, "InvalidIndex")

    def _current_leaf(self, now: datetime) -> Leaf:
        with self._lock:
            if self._leaf is None or self._leaf.certificate.not_valid_after_utc < now + RENEW_BEFORE:
                self._leaf = self._root.issue(MODULE_ID, now)
            return self._leaf


def _sign(key: ec.EllipticCurvePrivateKey, payload: bytes) -> bytes:
    structure = cbor2.dumps(["Signature1", _PROTECTED, b"", payload])
    r, s = decode_dss_signature(key.sign(structure, ec.ECDSA(SHA384())))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")
