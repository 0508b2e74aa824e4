"""Makes what an enclave reads of a model's folder: its manifest, and weights that are packed for the CPU."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enclave_worker.manifest import (
    FORMAT,
    NAME,
    ModelError,
    ModelManifest,
    blake3_of,
    list_files,
    load_manifest,
    parse_manifest,
    sha256_of,
)

if TYPE_CHECKING:
    from enclave_worker.bloom.weights import Precision

LARGE: Final = 64 * 2**20
"""Bytes from which on a file's BLAKE3 is named."""


def write_manifest(folder: Path, name: str, revision: str) -> ModelManifest:
    """Write the manifest for all files that are in `folder` now.

    Raises:
        ModelError: the folder holds something that a manifest cannot name, or name or revision is no short text.
    """
    files = {file: _describe(folder / file) for file in sorted(list_files(folder))}
    value = {"format": FORMAT, "name": name, "revision": revision, "files": files}
    data = (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
    manifest, _ = parse_manifest(data)
    (folder / NAME).write_bytes(data)
    return manifest


def pack_folder(
    folder: Path, precision: "Precision", told: Callable[[int, int], None] = lambda _done, _total: None
) -> ModelManifest:
    """Pack a verified folder's checkpoint for `precision` and name the packed file in a new manifest.

    `told` is told how many tensors of the checkpoint were read, and how many there are.

    Raises:
        ModelError: the folder is not what its manifest says, or holds no Bloom that the engine computes.
        OSError: the folder cannot be written.
    """
    from safetensors import SafetensorError, TensorSpec, serialize_file

    from enclave_worker.bloom import packed
    from enclave_worker.bloom.config import is_bloom, read_config

    manifest = load_manifest(folder)
    config = read_config(folder)
    if not is_bloom(config):
        raise ModelError("config.json: only a Bloom can be packed; others are computed by transformers as they are")
    tensors = packed.pack_checkpoint(folder, config, precision, told)
    target = folder / packed.packed_name(precision)
    part = target.with_name(f"{target.name}.part")
    # By address: `safetensors.torch.save_file` makes the same file and needs NumPy, which no role brings.
    specs = {
        name: TensorSpec(
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tensor.shape,
            data_ptr=tensor.data_ptr(),
            data_len=tensor.nbytes,
        )
        for name, tensor in tensors.items()
    }
    try:
        serialize_file(specs, part, metadata={"format": packed.FORMAT, "precision": str(precision)})
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error)) from None
    sort_metadata(part)
    part.rename(target)
    return write_manifest(folder, manifest.name, manifest.revision)


def sort_metadata(path: Path) -> None:
    """Put the metadata of a safetensors file in order, so that packing a checkpoint twice gives one digest.

    The library writes them in the order of a hash table of that moment. Its header is JSON without spaces, and keeps
    its length: 8 bytes of it, little-endian, then the header, padded with spaces.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size))


def _describe(path: Path) -> dict[str, str | int]:
    size = path.stat().st_size
    large = {"blake3": blake3_of(path)} if size >= LARGE else {}
    return {"sha256": sha256_of(path), "size": size, **large}
