"""What proves to KMS which image is asking."""

from typing import Final, Protocol

from wire.measurement import PCR_SIZE

IMAGE_PCR: Final = 0
"""The register that measures the whole image, and the one that key policies pin."""


class AttestorError(Exception):
    """The attestor gave no document or register; the text holds codes and numbers only."""


class Attestor(Protocol):
    """The NSM device in AWS, a software one under a development root on a laptop."""

    def attest(self, *, public_key: bytes | None, user_data: bytes | None, nonce: bytes | None) -> bytes:
        """A fresh attestation document (COSE_Sign1) that holds the three values.

        Raises:
            AttestorError: the device refused or answered nonsense.
        """
        ...

    def pcr(self, index: int) -> bytes:
        """The 48 bytes of register `index`.

        Raises:
            AttestorError: the device refused or answered nonsense.
        """
        ...


def own_image(attestor: Attestor, *, debug_allowed: bool = False) -> str:
    """PCR0 of this enclave as 96 lower-case hexadecimal digits.

    Raises:
        AttestorError: the register is all zeros and that is not allowed. It is an enclave in debug mode, whose console
            and memory the parent reads, and for which no key may ever be asked.
    """
    register = attestor.pcr(IMAGE_PCR)
    if len(register) != PCR_SIZE:
        raise AttestorError(f"PCR0 has {len(register)} bytes instead of {PCR_SIZE}")
    if not any(register) and not debug_allowed:
        raise AttestorError("PCR0 is all zeros: this enclave runs in debug mode")
    return register.hex()
