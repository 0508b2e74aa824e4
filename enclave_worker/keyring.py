"""Turns a wrapped question key into the key, by attestation and KMS, and remembers keys that have proved themselves.

Rules:
1. A key is kept only after a chunk opened under it: a reply that the parent made up opens no real chunk.
2. One unwrap at a time for a wrapped key: chunks of one keyset that come together wait for the first one's result.
3. Every unwrap has an RSA key pair and an attestation document of its own, good for one reply.
4. A reply that does not open as CMS is answered by going on with a random key. The chunk then fails at its commitment
   like under any other wrong key, so the parent cannot use refusals to learn about a ciphertext that it altered.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave_worker.attestor import Attestor
from enclave_worker.cms import CmsError, open_recipient
from enclave_worker.refused import ChunkRefused
from wire.envelope import SealedQuestions
from wire.keys import KEY_SIZE, encryption_context, wrapped_digest
from wire.messages import RefusalCode

RSA_BITS: Final = 2048
"""What KMS's own enclave tools use; the pair lives for one reply, some seconds."""
RSA_EXPONENT: Final = 65537


class CourierLost(Exception):  # noqa: N818 - the end of a connection is not an error of the chunk's
    """The connection of this chunk ended; other connections may still get the key."""


class Courier(Protocol):
    """Carries a wrapped key to KMS and the reply back."""

    def unwrap(self, key_arn: str, context: Mapping[str, str], wrapped: bytes, document: bytes) -> bytes:
        """KMS's CiphertextForRecipient.

        Raises:
            ChunkRefused: KMS or the bridge refused, or nothing came in time. CourierLost: the connection ended.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A chunk's payload and the question key that it opened under."""

    key: bytes
    payload: bytes


@dataclass(slots=True)
class _Flight:
    """An unwrap that is under way, and what its followers are to hear."""

    landed: threading.Event = field(default_factory=threading.Event)
    refused: RefusalCode | None = None


class Keyring:
    """The question keys of this enclave, at most `capacity`, the least recently used leaving first."""

    def __init__(self, attestor: Attestor, capacity: int) -> None:
        self._attestor = attestor
        self._capacity = capacity
        self._lock = threading.Lock()
        self._keys: OrderedDict[bytes, bytes] = OrderedDict()
        self._flights: dict[bytes, _Flight] = {}

    def open(self, sealed: SealedQuestions, courier: Courier) -> Opened:
        """The payload of `sealed`, whose question key `courier` has unwrapped if it is not known yet.

        Raises:
            SealError: the chunk does not open under its key. ChunkRefused, CourierLost: there is no key.
            AttestorError: there is no attestation document.
        """
        header = sealed.header
        context = encryption_context("question", header.tenant, header.job, header.image)
        name = wrapped_digest(header.key_arn, context, header.wrapped)
        while True:
            key, flight, leads = self._board(name)
            if key is not None:
                return Opened(key, sealed.open(key))
            if leads:
                return self._lead(name, flight, sealed, courier)
            flight.landed.wait()
            if flight.refused is not None:
                raise ChunkRefused(flight.refused)
            # The key is there now, or its leader failed by its own fault and the next one tries.

    def _board(self, name: bytes) -> tuple[bytes | None, _Flight, bool]:
        """The known key, or the unwrap to wait for, or a new one that the caller leads."""
        with self._lock:
            key = self._keys.get(name)
            if key is not None:
                self._keys.move_to_end(name)
                return key, _Flight(), False
            leads = name not in self._flights
            return None, self._flights.setdefault(name, _Flight()), leads

    def _lead(self, name: bytes, flight: _Flight, sealed: SealedQuestions, courier: Courier) -> Opened:
        try:
            key = self._unwrap(sealed, courier)
            opened = Opened(key, sealed.open(key))
            self._keep(name, key)
        except ChunkRefused as error:
            flight.refused = error.code
            raise
        finally:
            with self._lock:
                del self._flights[name]
            flight.landed.set()
        return opened

    def _keep(self, name: bytes, key: bytes) -> None:
        with self._lock:
            self._keys[name] = key
            while len(self._keys) > self._capacity:
                self._keys.popitem(last=False)

    def _unwrap(self, sealed: SealedQuestions, courier: Courier) -> bytes:
        header = sealed.header
        context = encryption_context("question", header.tenant, header.job, header.image)
        private_key = rsa.generate_private_key(public_exponent=RSA_EXPONENT, key_size=RSA_BITS)
        public_key = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        document = self._attestor.attest(public_key=public_key, user_data=None, nonce=None)
        reply = courier.unwrap(header.key_arn, context, header.wrapped, document)
        try:
            return open_recipient(private_key, reply)
        except CmsError:
            return os.urandom(KEY_SIZE)
