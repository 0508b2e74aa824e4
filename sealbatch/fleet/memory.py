"""How much memory an enclave needs, part by part, each with its reason."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from sealbatch.image.eif import Image, SectionKind

MIB: Final = 2**20
EIF_FACTOR: Final = 4
"""nitro-cli refuses an enclave with less memory than four times its image (`resource_manager.rs`, error E26)."""
PROGRAMS_MIB: Final = 384
"""The worker and its engine process without model, cache and work: 256 MiB were measured, private memory of both."""
KERNEL_MIB: Final = 128
HEADROOM: Final = 1.15
BLOCK: Final = 4 * MIB
GZIP: Final = b"\x1f\x8b"
CPIO: Final = b"0707"
BYTES: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
FP32: Final = 4


class SizeError(Exception):
    """A model's folder or an image does not say how much memory it takes; the text names the file."""


@dataclass(frozen=True, slots=True)
class Part:
    """Memory in MiB, for what, and why so much."""

    what: str
    mib: int
    why: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What the worker allows itself; `positions` are of the cache, `waiting_mib` sealed work on all connections."""

    positions: int
    waiting_mib: int


def least_mib(eif_bytes: int) -> int:
    """MiB without which nitro-cli starts no image of so many bytes."""
    return EIF_FACTOR * _mib(eif_bytes)


def total(parts: "list[Part]", eif_bytes: int) -> tuple[int, str]:
    """MiB that the enclave needs, and by what that is decided."""
    rule = least_mib(eif_bytes)
    needed = round(sum(part.mib for part in parts) * HEADROOM)
    if needed > rule:
        return needed, f"the parts and {HEADROOM - 1:.0%} to spare; nitro-cli asks for {rule} MiB"
    return rule, f"nitro-cli asks for {EIF_FACTOR} times the image; the parts and {HEADROOM - 1:.0%} are {needed} MiB"


def parts_of(eif: Path, image: Image, model: Path | None, limits: Limits, *, in_image: bool) -> list[Part]:
    """What lies in the enclave's memory; `model` is its folder, inside the image or sent after the start.

    Raises:
        SizeError: the image or the model does not tell.
    """
    parts = [
        Part("file system", _mib(_unpacked(eif, image)), "the ramdisks, unpacked (there is no disk)"),
        Part("kernel", KERNEL_MIB, "kernel and its tables"),
        Part("programs", PROGRAMS_MIB, "worker and engine without a model"),
        Part("waiting work", 2 * limits.waiting_mib, "windows of all connections, sealed and opened"),
    ]
    if model is not None:
        parts += _model_parts(model, limits.positions, in_image=in_image)
    return parts


def _model_parts(folder: Path, positions: int, *, in_image: bool) -> Iterator[Part]:
    packed = sorted(folder.glob("packed-*.safetensors"))
    if not in_image:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        yield Part("model", _mib(size), "its files; packed weights are used where they lie")
    if not packed:
        yield Part("weights", _mib(_as_floats(folder)), "32-bit copies; `sealbatch model pack` spares them")
    width = {"packed-int8.safetensors": 1, "packed-bf16.safetensors": 2}.get(packed[-1].name if packed else "", FP32)
    yield Part("cache", _mib(_cache(folder, positions, width)), f"keys and values of {positions:,} positions")


def _as_floats(folder: Path) -> int:
    """Bytes of the checkpoint's tensors as 32-bit floats."""
    size = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with path.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            for name, tensor in header.items():
                if name != "__metadata__":
                    begin, end = tensor["data_offsets"]
                    size += (end - begin) * FP32 // BYTES[tensor["dtype"]]
        except (OSError, ValueError, KeyError, TypeError, MemoryError):
            raise SizeError(f"{path}: no safetensors of floats") from None
    if not size:
        raise SizeError(f"{folder}: holds no .safetensors")
    return size


def _cache(folder: Path, positions: int, width: int) -> int:
    """Bytes of keys and values in all layers; with a width of 1 there is a scale for each position and head."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
        layers = _number(config, "n_layer", "num_hidden_layers")
        hidden = _number(config, "n_embed", "hidden_size")
        heads = _number(config, "n_head", "num_attention_heads")
    except (OSError, ValueError, TypeError, StopIteration):
        raise SizeError(f"{path}: states no layers, hidden size and heads; give --memory") from None
    return positions * layers * 2 * (hidden * width + (heads * FP32 if width == 1 else 0))


def _number(config: Any, *names: str) -> int:
    return int(config[next(name for name in names if name in config)])


def _unpacked(eif: Path, image: Image) -> int:
    """Bytes of the ramdisks' files."""
    with eif.open("rb") as file:
        return sum(_ramdisk(file, s.offset, s.size) for s in image.sections if s.kind is SectionKind.RAMDISK)


def _ramdisk(file: BinaryIO, offset: int, size: int) -> int:
    file.seek(offset)
    begin = file.read(4)
    if begin == CPIO:
        return size
    if not begin.startswith(GZIP):
        raise SizeError("a ramdisk is packed by another program than gzip; give --memory")
    file.seek(offset)
    try:
        with gzip.GzipFile(fileobj=_Window(file, size)) as unpacked:
            return sum(len(block) for block in iter(lambda: unpacked.read(BLOCK), b""))
    except (OSError, EOFError, zlib.error):
        raise SizeError("a ramdisk cannot be unpacked; give --memory") from None


class _Window(io.RawIOBase):
    """The next `size` bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def _mib(size: int) -> int:
    return -(-size // MIB)
