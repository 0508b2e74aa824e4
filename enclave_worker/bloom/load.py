"""Loads a verified Bloom for the engine."""

import os
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from enclave_worker.bloom.config import bloom_shape, end_tokens, read_config
from enclave_worker.bloom.network import Network, operations_for
from enclave_worker.bloom.packed import open_packed, pack_checkpoint, packed_name, packed_precision
from enclave_worker.bloom.weights import Precision, Weights, unpack
from enclave_worker.manifest import ModelManifest, load_manifest
from enclave_worker.tokenizer import load_tokenizer

WEIGHTS: str = ".safetensors"


@dataclass(frozen=True, slots=True)
class LoadedBloom:
    """A Bloom in memory and what its manifest says about it."""

    manifest: ModelManifest
    network: Network
    tokenizer: Tokenizer
    context_length: int
    end_tokens: frozenset[int]


def load_bloom(folder: Path, precision: Precision | None = None, *, threads: int = 0) -> LoadedBloom:
    """Verify what is read of `folder`, then load it: packed weights if there are any for `precision`.

    Without a precision it is the one that the folder is packed for, else fp32. Weights that are not packed are packed
    in memory, which takes time at every start and memory besides. `threads` 0 means one for each core that this
    process may use.

    Raises:
        ModelError: a file that is read differs from the manifest, or the folder holds no Bloom.
    """
    precision = precision or packed_precision(folder) or Precision.FP32
    packed = packed_name(precision)
    mapped = (folder / packed).exists()
    # The checkpoint is not read beside its packed form, so it need not be hashed, which takes longer than all the rest.
    manifest = load_manifest(folder, reads=lambda name: not (mapped and name.endswith(WEIGHTS)) or name == packed)
    config = read_config(folder)
    weights = open_packed(folder, config, precision) if mapped else _pack_now(folder, config, precision)
    return LoadedBloom(
        manifest=manifest,
        network=Network(weights, operations_for(weights, threads or len(os.sched_getaffinity(0)))),
        tokenizer=load_tokenizer(folder, weights.shape.vocabulary),
        context_length=weights.shape.context,
        end_tokens=end_tokens(config),
    )


def _pack_now(folder: Path, config: dict[str, object], precision: Precision) -> Weights:
    return unpack(pack_checkpoint(folder, config, precision), bloom_shape(config), precision)
