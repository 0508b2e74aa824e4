"""A Bloom of random weights in the configuration of bloom-560m: no download, and the same weights for every engine."""

import json
import math
import shutil
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Final

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BloomConfig, BloomForCausalLM

from sealbatch.model_folder import write_manifest

NAME: Final = "sealbatch/random-bloom"
SEED: Final = 560
SPECIAL: Final = ("<unk>", "<s>", "</s>", "<pad>")
TEXT_TOKENS: Final = 250_680
CONFIG: Final[dict[str, Any]] = {
    "vocab_size": 250_880,
    "hidden_size": 1024,
    "n_layer": 24,
    "n_head": 16,
    "seq_length": 2048,
    "bos_token_id": 1,
    # No token ends an answer: every request runs to its own length.
    "eos_token_id": None,
    "pad_token_id": 3,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "tie_word_embeddings": True,
}
EMBEDDING_DEVIATION: Final = 0.02
LAYER_DEVIATION: Final = 0.05
EMBEDDING_SCALE: Final = 0.2
"""Wider layers than Bloom's 0.02 and a smaller input to them, so that they outweigh the tied embedding: else every
answer repeats one token."""


def make(folder: Path, **overrides: Any) -> Path:
    """The model in `folder` with its manifest; a folder that is there already is left as it is.

    `overrides` replace what `CONFIG` says, for a smaller model.
    """
    if (folder / "manifest.json").is_file():
        return folder
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    config = BloomConfig(**CONFIG | overrides)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in BloomForCausalLM(config).transformer.named_parameters()}
    save_file(_weights(shapes), part / "model.safetensors", metadata={"format": "pt"})
    settings = config.to_dict() | {"architectures": ["BloomForCausalLM"], "dtype": "float16"}
    (part / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    _tokenizer(min(TEXT_TOKENS, config.vocab_size)).save(str(part / "tokenizer.json"))
    (part / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": SPECIAL[0], "pad_token": SPECIAL[3]})
    )
    write_manifest(part, NAME, f"seed-{SEED}")
    part.rename(folder)
    return folder


def _weights(shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """All parameters in fp16, as the published weights are."""
    generator = torch.Generator().manual_seed(SEED)
    weights = {}
    for name, shape in shapes.items():
        deviation = LAYER_DEVIATION if len(shape) == 2 and ".h." in f".{name}" else EMBEDDING_DEVIATION
        tensor = torch.randn(shape, generator=generator) * deviation
        if name.startswith("word_embeddings_layernorm"):
            tensor += EMBEDDING_SCALE if name.endswith("weight") else 0.0
        elif "layernorm" in name or name.startswith("ln_f"):
            tensor += 1.0 if name.endswith("weight") else 0.0
        weights[name] = tensor.half()
    for layer in {name.partition(".mlp.")[0] for name in weights if ".mlp." in name}:
        _centre(weights, f"{layer}.mlp")
    return weights


def _centre(weights: dict[str, torch.Tensor], mlp: str) -> None:
    """Choose the last bias of an MLP so that its output is zero in the mean.

    GELU's mean is above zero; what it adds to every token would drown what differs between them. For h of a normal
    distribution N(m, s^2), E[h Phi(h)] = m Phi(t) + s^2 / sqrt(1 + s^2) phi(t) with t = m / sqrt(1 + s^2).
    """
    up = weights[f"{mlp}.dense_h_to_4h.weight"].float()
    means, variances = weights[f"{mlp}.dense_h_to_4h.bias"].float(), up.square().sum(1)
    scales = (1 + variances).sqrt()
    ratios = means / scales
    expected = means * torch.special.ndtr(ratios) + variances / scales * (-ratios.square() / 2).exp() / math.sqrt(
        2 * math.pi
    )
    weights[f"{mlp}.dense_4h_to_h.bias"] = -(weights[f"{mlp}.dense_4h_to_h.weight"].float() @ expected).half()


def _tokenizer(size: int) -> Tokenizer:
    """Byte-level BPE of `size` tokens: bytes, pairs of letters, and pairs of pairs."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = list(product(ascii_lowercase, ascii_lowercase))
    joined = ["".join(pair) for pair in pairs]
    room = size - len(SPECIAL) - len(alphabet) - len(pairs)
    quads = list(islice(product(joined, joined), room))
    tokens = [*SPECIAL, *alphabet, *joined, *("".join(quad) for quad in quads)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[*pairs, *quads]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer
