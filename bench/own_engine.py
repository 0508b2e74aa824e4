"""The one place where the bench touches our engine: packs, loads, drives it as the enclave does, asks for logits."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from enclave_worker.bloom.bloom_engine import BloomEngine
from enclave_worker.bloom.cache import PAGE
from enclave_worker.bloom.load import load_bloom
from enclave_worker.bloom.network import Network
from enclave_worker.bloom.operations import Spans
from enclave_worker.bloom.packed import packed_name
from enclave_worker.bloom.weights import Precision
from enclave_worker.engine import Completion, Engine, Prompt, SamplingParams
from enclave_worker.scheduler import Scheduler
from sealbatch.model_folder import pack_folder

SEQUENCES: Final = 64
POSITIONS: Final = 32 * 1024


def packed_folder(model: Path, build: Path, precision: str) -> Path:
    """Where `model` is packed for `precision`."""
    return build / f"{model.name}-sealbatch-{precision}"


def pack(model: Path, folder: Path, precision: str) -> None:
    """Make `folder`, unless it is there: `model` with its weights packed for `precision`, linked where that can be."""
    if folder.is_dir():
        return
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(model, part, copy_function=_link)
    (part / packed_name(Precision(precision))).unlink(missing_ok=True)
    # The manifest is written anew, and not into the model's own.
    shutil.copy(model / "manifest.json", part / "manifest.new")
    (part / "manifest.new").replace(part / "manifest.json")
    pack_folder(part, Precision(precision))
    part.rename(folder)


def load(folder: Path, precision: str, threads: int) -> BloomEngine:
    """The engine on the model in `folder`."""
    model = load_bloom(folder, Precision(precision), threads=threads)
    return BloomEngine(model, max_sequences=SEQUENCES, max_positions=POSITIONS)


def complete(engine: Engine, requests: Sequence[tuple[Sequence[int], int]]) -> list[Completion]:
    """Answers to all requests (prompt, and answer length in tokens), greedily."""
    scheduler = Scheduler()
    scheduler.add(
        Prompt(key, tokens, SamplingParams(length, 0.0, 1.0, 0, ())) for key, (tokens, length) in enumerate(requests)
    )
    finished: list[Completion] = []
    while len(finished) < len(requests):
        if prompts := scheduler.take(engine.room()):
            engine.admit(prompts)
        finished += engine.step()
    return sorted(finished, key=lambda completion: completion.key)


def logits(network: Network, tokens: Sequence[int]) -> torch.Tensor:
    """Logits after each token, [n, vocabulary]."""
    pages = -(-len(tokens) // PAGE)
    spans = Spans(torch.tensor([[0, len(tokens), 0, 0]], dtype=torch.int32), torch.arange(pages, dtype=torch.int32))
    with torch.inference_mode():
        return network.logits(network.forward(torch.tensor(list(tokens)), spans, network.make_cache(pages)))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
