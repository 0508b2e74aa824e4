"""A forward pass of a Bloom over a packed batch of rows."""

from typing import Final

import torch

from enclave_worker.bloom.cache import Cache, Width
from enclave_worker.bloom.native import library
from enclave_worker.bloom.native_operations import NativeOperations, suits
from enclave_worker.bloom.operations import Action, Operations, Spans
from enclave_worker.bloom.torch_operations import TorchOperations
from enclave_worker.bloom.weights import Precision, Weights

WIDTHS: Final = {Precision.FP32: Width.FLOAT, Precision.BF16: Width.HALF, Precision.INT8: Width.BYTE}


def operations_for(weights: Weights, threads: int) -> Operations:
    """The compiled operations where they can be used, else plain torch's."""
    compiled = library()
    if compiled is not None and suits(weights.shape):
        return NativeOperations(compiled, weights.precision, threads)
    return TorchOperations(weights.precision, threads)


class Network:
    """Weights and the operations that they are computed with."""

    def __init__(self, weights: Weights, operations: Operations) -> None:
        self.weights = weights
        self.operations = operations

    def make_cache(self, pages: int) -> Cache:
        """An empty cache of `pages` pages, its values as wide as the precision asks for."""
        return Cache(self.weights.shape, pages, WIDTHS[self.weights.precision])

    def forward(self, tokens: torch.Tensor, spans: Spans, cache: Cache) -> torch.Tensor:
        """The last layer's output [rows, hidden] for `tokens` int64 [rows], before the final norm."""
        shape, do = self.weights.shape, self.operations
        rows = len(tokens)
        x = do.norm(self._embed(tokens), self.weights.embedding_norm, shape.epsilon)
        qkv, mixed, inner = (torch.empty(rows, n * shape.hidden) for n in (3, 1, 4))
        for number, layer in enumerate(self.weights.layers):
            do.linear(do.norm_operand(x, layer.input_norm, shape.epsilon), layer.qkv, Action.STORE, qkv)
            do.attention(qkv, cache, number, spans, mixed)
            do.linear(do.operand(mixed), layer.dense, Action.ADD, x)
            do.linear(do.norm_operand(x, layer.output_norm, shape.epsilon), layer.up, Action.GELU, inner)
            do.linear(do.operand(inner), layer.down, Action.ADD, x)
        return x

    def greedy(self, x: torch.Tensor) -> torch.Tensor:
        """The likeliest next token of each row of `forward`'s output, int32 [rows]."""
        return self.operations.argmax(self._final(x), self.weights.head)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """The next token's logits for each row of `forward`'s output, [rows, vocabulary]."""
        return self.operations.logits(self._final(x), self.weights.head)

    def _final(self, x: torch.Tensor) -> torch.Tensor:
        return self.operations.norm(x.contiguous(), self.weights.final_norm, self.weights.shape.epsilon)

    def _embed(self, tokens: torch.Tensor) -> torch.Tensor:
        if self.weights.embedding is not None:
            return self.weights.embedding[tokens].float()
        # One matrix serves as embedding and head: a token's row lies across its panel.
        panels = self.weights.head.linear.weight
        return panels[tokens // 16, :, tokens % 16].float()
