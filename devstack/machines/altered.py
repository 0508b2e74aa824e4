"""What an attacker changes: one byte of an image, or of a model's weights."""

import zlib
from pathlib import Path
from typing import Final

from devstack.files import write_private
from sealbatch.image.eif import HEADER_SIZE, SectionKind, read_image

WEIGHTS: Final = "model.safetensors"


def change_image(image: Path, into: Path) -> None:
    """The same image but for one byte of its command line, with the checksum that it then must have."""
    with image.open("rb") as file:
        line = next(section for section in read_image(file).sections if section.kind is SectionKind.COMMAND_LINE)
    data = bytearray(image.read_bytes())
    data[line.offset] ^= 1
    crc = zlib.crc32(data[HEADER_SIZE:], zlib.crc32(data[: HEADER_SIZE - 4]))
    data[HEADER_SIZE - 4 : HEADER_SIZE] = crc.to_bytes(4, "big")
    write_private(into, bytes(data))


def change_weights(model: Path, into: Path) -> None:
    """The same model, its manifest too, but for the last byte of its weights."""
    into.mkdir()
    for path in model.iterdir():
        (into / path.name).write_bytes(path.read_bytes())
    weights = bytearray((into / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (into / WEIGHTS).write_bytes(weights)
