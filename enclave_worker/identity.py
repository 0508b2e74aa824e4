"""What one enclave is: image, model, template and settings."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from wire.codec import Value, pack


@dataclass(frozen=True, slots=True)
class Identity:
    """What stands in every answer and receipt.

    `image` is PCR0 in hexadecimal; `model`, `template` and `settings` are digests of 32 bytes: of the model's manifest,
    of the prompt template, and of the settings that change answers.
    """

    image: str
    model_name: str
    model: bytes
    template: bytes
    settings: bytes


def settings_digest(settings: Mapping[str, Value]) -> bytes:
    """32 bytes that change with any of the settings."""
    return hashlib.sha256(b"sealbatch/1 settings" + pack(dict(settings))).digest()
