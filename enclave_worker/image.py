"""What an image was built to do: a small file in it, measured with everything else, so that the parent changes none."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclave_worker.platform import CLOCK_SOURCES

SETTINGS: Final = Path("/etc/sealbatch.json")
FORMAT: Final = 1
MAX_SETTINGS: Final = 4096
EMULATED_CLOCKS: Final = frozenset({"acpi_pm", "hpet", "jiffies", "tsc", "tsc-early"})
"""Clocks of an emulated machine. A parent can set them, which is why no image for AWS admits them."""


class ImageError(Exception):
    """The image's own settings are malformed."""


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """`streamed`: the model comes over vsock; else it lies in the image. `emulated`: clocks of an emulator do."""

    streamed: bool = True
    emulated: bool = False

    @property
    def clocks(self) -> frozenset[str]:
        """Clock sources under which this image serves."""
        return CLOCK_SOURCES | EMULATED_CLOCKS if self.emulated else CLOCK_SOURCES


def encode_settings(settings: ImageSettings) -> bytes:
    """The file's bytes."""
    value = {"format": FORMAT, "streamed": settings.streamed, "emulated": settings.emulated}
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def load_settings(path: Path = SETTINGS) -> ImageSettings:
    """The settings of this image.

    Raises:
        ImageError: there are none, or they are malformed.
    """
    try:
        with path.open("rb") as file:
            value: object = json.loads(file.read(MAX_SETTINGS))
    except (OSError, ValueError, RecursionError):
        raise ImageError(f"{path}: missing, or not JSON") from None
    if not isinstance(value, Mapping) or value.keys() != {"format", "streamed", "emulated"}:
        raise ImageError(f"{path}: its fields are not format, streamed and emulated")
    streamed, emulated = value["streamed"], value["emulated"]
    if value["format"] != FORMAT or type(streamed) is not bool or type(emulated) is not bool:
        raise ImageError(f"{path}: not of format {FORMAT}")
    return ImageSettings(streamed, emulated)
