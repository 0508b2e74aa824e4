"""What the engine needs to know of a Bloom's configuration."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from enclave_worker.manifest import ModelError

CONFIG: Final = "config.json"
MAX_LAYERS: Final = 256
MAX_HIDDEN: Final = 65_536
MAX_VOCABULARY: Final = 1_048_576
DEFAULT_CONTEXT: Final = 2048
"""What every published Bloom was trained with; `seq_length` in the configuration says otherwise."""
MAX_CONTEXT: Final = 65_536


@dataclass(frozen=True, slots=True)
class BloomShape:
    """The sizes of one Bloom. All published ones, from 560m to 176b, differ in these alone."""

    layers: int
    hidden: int
    heads: int
    vocabulary: int
    context: int
    epsilon: float
    tied: bool

    @property
    def head_size(self) -> int:
        """Dimensions of one attention head."""
        return self.hidden // self.heads

    def slopes(self) -> torch.Tensor:
        """ALiBi's slope of each head, [heads] (Press et al. 2022, and its authors' code for other than powers of 2)."""
        power = 2 ** math.floor(math.log2(self.heads))
        base = 2.0 ** (-(2.0 ** -(math.log2(power) - 3)))
        slopes = [base**n for n in range(1, power + 1)]
        between = 2.0 ** (-(2.0 ** -(math.log2(2 * power) - 3)))
        slopes += [between**n for n in range(1, 2 * (self.heads - power), 2)]
        return torch.tensor(slopes, dtype=torch.float32)


def read_config(folder: Path) -> dict[str, object]:
    """The configuration in a model's folder.

    Raises:
        ModelError: it is missing, no JSON object, or names code to be loaded.
    """
    try:
        config: object = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        raise ModelError(f"{CONFIG}: missing or not JSON") from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelError(f"{CONFIG}: has no model_type")
    if "auto_map" in config:
        raise ModelError(f"{CONFIG}: names code to be loaded (auto_map)")
    return config


def is_bloom(config: dict[str, object]) -> bool:
    """Whether the Bloom engine computes this architecture; another one is left to transformers."""
    return config["model_type"] == "bloom" and not config.get("apply_residual_connection_post_layernorm", False)


def context_length(config: dict[str, object]) -> int:
    """Positions of one sequence at most.

    Raises:
        ModelError: the configuration states a senseless one.
    """
    for name in ("seq_length", "max_position_embeddings", "n_positions"):
        if name in config:
            return _number(config, name, 2, MAX_CONTEXT)
    return DEFAULT_CONTEXT


def end_tokens(config: dict[str, object]) -> frozenset[int]:
    """The tokens that end an answer: none, one or several.

    Raises:
        ModelError: they are not numbers.
    """
    ends = config.get("eos_token_id")
    values = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(type(token) is int for token in values):
        raise ModelError(f"{CONFIG}: eos_token_id is not a number or a list of numbers")
    return frozenset(values)


def bloom_shape(config: dict[str, object]) -> BloomShape:
    """The sizes in a Bloom's configuration.

    Raises:
        ModelError: a size is missing or senseless.
    """
    hidden_name = "n_embed" if "n_embed" in config else "hidden_size"
    epsilon = config.get("layer_norm_epsilon", 1e-5)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise ModelError(f"{CONFIG}: layer_norm_epsilon is not a number between 0 and 1")
    shape = BloomShape(
        layers=_number(config, "n_layer", 1, MAX_LAYERS),
        hidden=_number(config, hidden_name, 1, MAX_HIDDEN),
        heads=_number(config, "n_head" if "n_head" in config else "num_attention_heads", 1, MAX_HIDDEN),
        vocabulary=_number(config, "vocab_size", 1, MAX_VOCABULARY),
        context=context_length(config),
        epsilon=epsilon,
        tied=config.get("tie_word_embeddings", True) is not False,
    )
    if shape.hidden % shape.heads:
        raise ModelError(f"{CONFIG}: {shape.hidden} dimensions do not divide into {shape.heads} heads")
    return shape


def _number(config: dict[str, object], name: str, low: int, high: int) -> int:
    value = config.get(name)
    if type(value) is not int or not low <= value <= high:
        raise ModelError(f"{CONFIG}: {name} is not a number from {low} to {high}")
    return value
