"""Loads a verified Bloom from its folder: safetensors only, no code from the folder, nothing from the network."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer
from transformers import BloomConfig, BloomForCausalLM

from enclave_worker.manifest import ModelError, ModelManifest, load_manifest

CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.json"
MODEL_TYPES: Final = frozenset({"bloom"})
DEFAULT_CONTEXT: Final = 2048
"""What every published Bloom was trained with; `seq_length` in the configuration says otherwise."""
MAX_CONTEXT: Final = 65_536


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory and what its manifest says about it."""

    manifest: ModelManifest
    network: BloomForCausalLM
    tokenizer: Tokenizer
    context_length: int
    end_tokens: frozenset[int]
    pad_token: int


def load_model(folder: Path) -> LoadedModel:
    """Verify `folder` against its manifest, then load the model in fp32.

    Raises:
        ModelError: a file differs from the manifest, or the folder holds no Bloom that can be loaded.
    """
    manifest = load_manifest(folder)
    settings = _read_config(folder)
    tokenizer = _load_tokenizer(folder)
    network = _load_network(folder)
    config = network.config
    # The highest id counts and not the number of tokens: a vocabulary may have holes.
    if max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0) >= config.vocab_size:
        raise ModelError(f"{TOKENIZER}: a token beyond the model's vocabulary of {config.vocab_size}")
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    return LoadedModel(
        manifest=manifest,
        network=network,
        tokenizer=tokenizer,
        context_length=_context_length(settings),
        end_tokens=frozenset(token for token in ends if token is not None),
        # Padding is masked out: any token does where the configuration names none.
        pad_token=config.pad_token_id or 0,
    )


def _read_config(folder: Path) -> dict[str, object]:
    try:
        config: object = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        raise ModelError(f"{CONFIG}: missing or not JSON") from None
    if not isinstance(config, dict) or config.get("model_type") not in MODEL_TYPES:
        raise ModelError(f"{CONFIG}: model_type is none of {', '.join(sorted(MODEL_TYPES))}")
    if "auto_map" in config:
        raise ModelError(f"{CONFIG}: names code to be loaded (auto_map)")
    return config


def _context_length(config: dict[str, object]) -> int:
    length = config.get("seq_length", DEFAULT_CONTEXT)
    if type(length) is not int or not 2 <= length <= MAX_CONTEXT:
        raise ModelError(f"{CONFIG}: seq_length is not a number from 2 to {MAX_CONTEXT}")
    return length


def _load_tokenizer(folder: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception:  # noqa: BLE001 - the library raises bare Exception for every failure
        raise ModelError(f"{TOKENIZER}: missing or not a tokenizer") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # A question that spells "</s>" must not get the token that ends answers.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _load_network(folder: Path) -> BloomForCausalLM:
    try:
        config = BloomConfig.from_pretrained(folder, local_files_only=True)
        network, report = BloomForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        # Foreign errors of many types; they speak of files and shapes, and no question is in memory yet.
        raise ModelError(f"weights: {type(error).__name__}") from error
    _check_report(report)
    network.eval()
    network.requires_grad_(requires_grad=False)
    loaded: BloomForCausalLM = network
    return loaded


def _check_report(report: dict[str, Any]) -> None:
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if report.get(kind):
            raise ModelError(f"weights: {len(report[kind])} {kind.replace('_', ' ')}")
