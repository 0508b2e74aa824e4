"""The model's manifest in a register of its own, so that one image serves every model and KMS still tells them apart.

The register is extended once and locked before KMS is asked for anything; a key policy pins it beside PCR0. It starts
at zero, so its final value follows from the manifest alone.
"""

from typing import Protocol

from enclave_worker.attestor import AttestorError
from enclave_worker.nsm import Register
from wire.measurement import MODEL_PCR, model_register


class Registers(Protocol):
    """What a security module lets software do with its registers."""

    def describe_pcr(self, index: int) -> Register:
        """Value and lock of a register."""
        ...

    def extend_pcr(self, index: int, data: bytes) -> bytes:
        """Set a register to SHA-384 of its value and `data`, and return that."""
        ...

    def lock_pcr(self, index: int) -> None:
        """Make a register read-only until the enclave ends."""
        ...


def measure_model(registers: Registers, manifest_digest: bytes) -> None:
    """Extend PCR16 by the digest of the model's manifest and lock it; done before is as good, if it was this model.

    Raises:
        AttestorError: the register holds something else, or the module refuses.
    """
    wanted = model_register(manifest_digest)
    before = registers.describe_pcr(MODEL_PCR)
    if not before.locked and not any(before.data):
        registers.extend_pcr(MODEL_PCR, manifest_digest)
        registers.lock_pcr(MODEL_PCR)
    after = registers.describe_pcr(MODEL_PCR)
    if not after.locked or after.data != wanted:
        raise AttestorError(f"PCR{MODEL_PCR} does not hold this model: it was extended by something else before")
