"""What an image built from this checkout would be measured as, without building one.

An enclave image is a kernel, a command line and two ramdisks (docs of Nitro: PCR0 is all of them, PCR1 the kernel and
the boot ramdisk, PCR2 the application). Here the boot part is a constant and the application part is the sources of
the enclave's two packages and the model's manifest, which names every file of the model by its digest. So one changed
byte of the code or the model is another image, and KMS refuses it until the key policy names it.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from enclave_worker.manifest import NAME as MODEL_MANIFEST
from wire.measurement import model_register

PACKAGES: Final = ("wire", "enclave_worker")
BOOT: Final = b"sealbatch development stack: no kernel, no boot ramdisk\n"

_IGNORED: Final = frozenset({"__pycache__"})


class MeasureError(Exception):
    """Something that the measurement covers is missing."""


def measure(model_folder: Path) -> dict[int, bytes]:
    """PCR0, PCR1 and PCR2 (48 bytes each) of the enclave that runs this code with the model in `model_folder`.

    Raises:
        MeasureError: a package or the model's manifest is not there.
    """
    application = hashlib.sha384()
    whole = hashlib.sha384(BOOT)
    for part in _application(model_folder):
        application.update(part)
        whole.update(part)
    boot = hashlib.sha384(BOOT)
    return {0: _register(whole.digest()), 1: _register(boot.digest()), 2: _register(application.digest())}


def measure_model_of(model_folder: Path) -> bytes:
    """PCR16 (48 bytes) of an enclave that serves the model in `model_folder`.

    Raises:
        MeasureError: the model's manifest is not there.
    """
    try:
        return model_register(hashlib.sha256((model_folder / MODEL_MANIFEST).read_bytes()).digest())
    except OSError as error:
        raise MeasureError(f"cannot read model/{MODEL_MANIFEST}") from error


def _register(content: bytes) -> bytes:
    # A register starts at zero and is extended once, by the digest of what it measures.
    return hashlib.sha384(bytes(48) + content).digest()


def _application(model_folder: Path) -> Iterator[bytes]:
    for package in PACKAGES:
        folder = _folder(package)
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if path.is_file() and not _IGNORED.intersection(relative.parts):
                yield from _entry(f"{package}/{relative.as_posix()}", path)
    yield from _entry(f"model/{MODEL_MANIFEST}", model_folder / MODEL_MANIFEST)


def _entry(name: str, path: Path) -> Iterator[bytes]:
    """Name and content, each behind its length: no two trees run together into the same bytes."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MeasureError(f"cannot read {name}") from error
    for part in (name.encode(), content):
        yield len(part).to_bytes(8, "big")
        yield part


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MeasureError(f"package {package} is not installed")
    return Path(spec.origin).parent
