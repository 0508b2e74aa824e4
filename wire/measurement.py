"""The register that an enclave extends by its model, as those who pin it compute it."""

import hashlib
from typing import Final

MODEL_PCR: Final = 16
"""The first register that is free for software in the enclave."""
PCR_SIZE: Final = 48
"""Bytes of a register: SHA-384."""


def model_register(manifest_digest: bytes) -> bytes:
    """PCR16 (48 bytes) of an enclave that serves the model whose manifest has this SHA-256."""
    return hashlib.sha384(bytes(PCR_SIZE) + manifest_digest).digest()
