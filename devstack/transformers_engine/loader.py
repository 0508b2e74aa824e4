"""Loads a verified model through transformers: safetensors only, no code from the folder, nothing from the network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from enclave_worker.bloom.config import CONFIG, context_length, end_tokens, read_config
from enclave_worker.manifest import ModelError, ModelManifest, load_manifest
from enclave_worker.tokenizer import load_tokenizer

MODEL_TYPES: Final = frozenset({"bloom", "gpt2", "gpt_neox", "llama"})
"""Architectures that were tried. For Bloom this is the slow way, and what the fast one is compared with."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory and what its manifest says about it."""

    manifest: ModelManifest
    network: PreTrainedModel
    tokenizer: Tokenizer
    context_length: int
    end_tokens: frozenset[int]
    pad_token: int


def load_model(folder: Path) -> LoadedModel:
    """Verify `folder` against its manifest, then load the model in fp32.

    Raises:
        ModelError: a file differs from the manifest, or the folder holds no model that can be loaded.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    manifest = load_manifest(folder)
    config = read_config(folder)
    if config["model_type"] not in MODEL_TYPES:
        raise ModelError(f"{CONFIG}: model_type is none of {', '.join(sorted(MODEL_TYPES))}")
    network = _load_network(folder)
    return LoadedModel(
        manifest=manifest,
        network=network,
        tokenizer=load_tokenizer(folder, network.config.vocab_size),
        context_length=context_length(config),
        end_tokens=end_tokens(config),
        # Padding is masked out: any token does where the configuration names none.
        pad_token=network.config.pad_token_id or 0,
    )


def _load_network(folder: Path) -> PreTrainedModel:
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        network, report = AutoModelForCausalLM.from_pretrained(
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
    loaded: PreTrainedModel = network
    return loaded


def _check_report(report: dict[str, Any]) -> None:
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if report.get(kind):
            raise ModelError(f"weights: {len(report[kind])} {kind.replace('_', ' ')}")
