"""The model that an image holds or serves."""

from pathlib import Path

from enclave_worker.manifest import ModelError, ModelManifest, load_manifest
from sealbatch.image import ImageError


def manifest_of(folder: Path) -> ModelManifest:
    """The manifest of a model's folder.

    Raises:
        ImageError: the folder is not what it says. OSError: it cannot be read.
    """
    try:
        return load_manifest(folder)
    except ModelError as error:
        raise ImageError(f"{folder}: {error}") from None
