"""Which enclaves a key policy may admit: an image, and the model that it has measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pin:
    """`image` is PCR0, `model` PCR16, 96 lower-case hexadecimal digits each; without a model, any will do."""

    image: str
    model: str | None = None
