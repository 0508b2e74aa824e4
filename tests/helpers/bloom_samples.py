"""Blooms of random weights for the engine's tests, without folders, tokenizers or manifests around them."""

from collections.abc import Sequence

import torch
from transformers import BloomConfig, BloomForCausalLM

from enclave_worker.bloom.config import BloomShape
from enclave_worker.bloom.network import Network
from enclave_worker.bloom.operations import Operations, Spans
from enclave_worker.bloom.weights import Precision, Weights, pack, unpack


def make_oracle(shape: BloomShape, seed: int = 3) -> BloomForCausalLM:
    """Transformers' Bloom of these sizes."""
    torch.manual_seed(seed)
    config = BloomConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        n_layer=shape.layers,
        n_head=shape.heads,
        initializer_range=0.3,
        tie_word_embeddings=shape.tied,
    )
    network = BloomForCausalLM(config).eval()
    # Fresh norms and biases are ones and zeros, which would hide a norm or bias that is left out.
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "norm" in name or "ln_f" in name or name.endswith("bias"):
                weight.add_(0.1 * torch.randn_like(weight))
    return network


def make_weights(oracle: BloomForCausalLM, shape: BloomShape, precision: Precision) -> Weights:
    """The oracle's weights as the engine computes with them."""
    state = {name.removeprefix("transformer."): tensor for name, tensor in oracle.state_dict().items()}
    return unpack(pack(state.__getitem__, shape, precision), shape, precision)


def outputs(
    weights: Weights, operations: Operations, prompts: Sequence[Sequence[int]], chunk: int = 10_000
) -> list[torch.Tensor]:
    """The network's outputs for prompts computed side by side, `chunk` tokens of each at a time."""
    network = Network(weights, operations)
    pages = [-(-len(prompt) // 16) for prompt in prompts]
    starts = [sum(pages[:n]) for n in range(len(pages))]
    tables = torch.arange(sum(pages), dtype=torch.int32).flip(0).contiguous()
    cache = network.make_cache(sum(pages))
    parts: list[list[torch.Tensor]] = [[] for _ in prompts]
    for first in range(0, max(map(len, prompts)), chunk):
        some = [(n, prompt[first : first + chunk]) for n, prompt in enumerate(prompts) if len(prompt) > first]
        rows = [0]
        for _, tokens in some:
            rows.append(rows[-1] + len(tokens))
        spans = [[row, len(tokens), first, starts[n]] for row, (n, tokens) in zip(rows, some, strict=False)]
        flat = torch.tensor([token for _, tokens in some for token in tokens])
        with torch.inference_mode():
            out = network.forward(flat, Spans(torch.tensor(spans, dtype=torch.int32), tables), cache)
        for row, (n, tokens) in zip(rows, some, strict=False):
            parts[n].append(out[row : row + len(tokens)].clone())
    return [torch.cat(part) for part in parts]
