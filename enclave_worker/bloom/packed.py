"""Packed weights on disk: made once, named in the model's manifest, mapped into memory and not read.

A packed file is a safetensors file beside the checkpoint's. Processes that map it share its memory.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open

from enclave_worker.bloom.config import bloom_shape
from enclave_worker.bloom.weights import Fetch, Precision, Weights, pack, unpack
from enclave_worker.manifest import ModelError

FORMAT: Final = "1"
CHECKPOINT: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
PREFIX: Final = "transformer."
"""Some checkpoints name their tensors with it, the published ones without."""


def packed_name(precision: Precision) -> str:
    """The name of the packed file in a model's folder."""
    return f"packed-{precision}.safetensors"


def packed_precision(folder: Path) -> Precision | None:
    """What a folder is packed for: the fastest, if for several."""
    found = [precision for precision in Precision if (folder / packed_name(precision)).exists()]
    return found[-1] if found else None


def pack_checkpoint(
    folder: Path,
    config: dict[str, object],
    precision: Precision,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, torch.Tensor]:
    """The packed tensors of the checkpoint in `folder`.

    `told` is told how many tensors of the checkpoint were read, and how many there are.

    Raises:
        ModelError: a tensor is missing or has another shape than the configuration says.
    """
    with ExitStack() as files:
        return pack(_fetch_from(folder, files, told), bloom_shape(config), precision)


def open_packed(folder: Path, config: dict[str, object], precision: Precision) -> Weights:
    """The packed weights in `folder`, mapped.

    Raises:
        ModelError: the file is not one that this version packed.
    """
    name = packed_name(precision)
    try:
        with safe_open(folder / name, framework="pt") as file:
            if (file.metadata() or {}).get("format") != FORMAT:
                raise ModelError(f"{name}: packed by another version; pack the model again")
            packed = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        return unpack(packed, bloom_shape(config), precision)
    except (KeyError, OSError, SafetensorError):
        raise ModelError(f"{name}: not a packed model of this configuration") from None


def _fetch_from(folder: Path, files: ExitStack, told: Callable[[int, int], None]) -> Fetch:
    """Finds tensors in one file or in several, with or without the prefix, each mapped and not read."""
    try:
        names = sorted(set(_index(folder).values())) or [CHECKPOINT]
        opened = [files.enter_context(safe_open(folder / name, framework="pt")) for name in names]
    except (OSError, SafetensorError):
        raise ModelError("weights: missing, or no safetensors") from None
    where = {key.removeprefix(PREFIX): (file, key) for file in opened for key in file.keys()}  # noqa: SIM118

    read = set[str]()

    def fetch(name: str) -> torch.Tensor:
        read.add(name)
        told(len(read), len(where))
        try:
            file, key = where[name]
        except KeyError:
            raise ModelError(f"weights: 1 missing keys ({name})") from None
        tensor: torch.Tensor = file.get_tensor(key)
        if not tensor.is_floating_point():
            raise ModelError(f"weights: {name} is not of floats")
        return tensor

    return fetch


def _index(folder: Path) -> Mapping[str, str]:
    if not (folder / INDEX).exists():
        return {}
    try:
        index = json.loads((folder / INDEX).read_bytes())["weight_map"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ModelError(f"{INDEX}: not an index") from None
    if not isinstance(index, dict) or not all(isinstance(name, str) and "/" not in name for name in index.values()):
        raise ModelError(f"{INDEX}: not an index")
    return index
