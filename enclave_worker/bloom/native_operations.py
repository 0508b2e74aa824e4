"""The operations in compiled code. Every row's bits depend on that row alone, whatever is computed beside it."""

import ctypes
from collections.abc import Sequence
from typing import Final

import torch

from enclave_worker.bloom.cache import Cache
from enclave_worker.bloom.config import BloomShape
from enclave_worker.bloom.operations import Action, Bytes, Operand, Spans
from enclave_worker.bloom.quantize import PANEL
from enclave_worker.bloom.weights import Head, Linear, Norm, Precision

LANES: Final = 8
"""Floats of one register: heads and rows are computed that many at a time."""

_KINDS: Final = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}


def suits(shape: BloomShape) -> bool:
    """Whether the compiled operations know these sizes; all published Blooms' they do."""
    return shape.hidden % PANEL == 0 and shape.head_size % LANES == 0


class NativeOperations:
    """`Operations` of one precision over the compiled library. One thread calls them at a time."""

    def __init__(self, library: ctypes.CDLL, precision: Precision, threads: int) -> None:
        self._library = library
        self._bytes = precision is Precision.INT8
        self._halves = precision is Precision.BF16
        self._threads = threads
        self.rescored = 0
        """Logits that were computed again from exact weights, since the start."""

    def norm(self, x: torch.Tensor, norm: Norm, epsilon: float) -> torch.Tensor:
        """See `Operations.norm`."""
        out = torch.empty_like(x)
        self._call("sb_layer_norm", x, norm.weight, norm.bias, epsilon, *x.shape, out)
        return out

    def operand(self, x: torch.Tensor) -> Operand:
        """See `Operations.operand`."""
        return self._rounded(x) if self._bytes else x

    def norm_operand(self, x: torch.Tensor, norm: Norm, epsilon: float) -> Operand:
        """See `Operations.norm_operand`."""
        if not self._bytes:
            return self.norm(x, norm, epsilon)
        out = Bytes(torch.empty(x.shape, dtype=torch.uint8), torch.empty(len(x)))
        self._call("sb_layer_norm_quantize", x, norm.weight, norm.bias, epsilon, *x.shape, out.values, out.scales)
        return out

    def linear(self, x: Operand, linear: Linear, action: Action, out: torch.Tensor) -> None:
        """See `Operations.linear`."""
        sizes = (linear.outputs, linear.inputs, int(action), out)
        if isinstance(x, Bytes):
            weights = (linear.weight, linear.scales, linear.offsets, linear.bias)
            self._call("sb_linear_s8", x.values, x.scales, len(x.values), *weights, *sizes)
        else:
            self._call("sb_linear_f32", x, len(x), linear.weight, int(self._halves), linear.bias, *sizes)

    def attention(self, qkv: torch.Tensor, cache: Cache, layer: int, spans: Spans, out: torch.Tensor) -> None:
        """See `Operations.attention`."""
        shape = cache.shape
        place = (cache.data[layer], int(cache.width), cache.part_bytes(shape, cache.width))
        whose = (spans.spans, len(spans.spans), spans.tables)
        self._call("sb_attention", qkv, *place, *whose, cache.slopes, shape.heads, shape.head_size, out)

    def argmax(self, hidden: torch.Tensor, head: Head) -> torch.Tensor:
        """See `Operations.argmax`."""
        linear = head.linear
        tokens = torch.empty(len(hidden), dtype=torch.int32)
        sizes = (linear.outputs, linear.inputs, head.vocabulary, tokens)
        if not self._bytes:
            self._call("sb_argmax_f32", hidden, len(hidden), linear.weight, int(self._halves), *sizes)
            return tokens
        x = self._rounded(hidden)
        assert head.exact is not None  # noqa: S101 - 8-bit weights are never packed without it
        self.rescored += self._call(
            "sb_argmax_s8",
            *(hidden, x.values, x.scales, len(hidden)),
            *(linear.weight, linear.scales, linear.offsets, head.lost, head.kept),
            *(head.exact, _KINDS[head.exact.dtype]),
            *sizes,
        )
        return tokens

    def logits(self, hidden: torch.Tensor, head: Head) -> torch.Tensor:
        """See `Operations.logits`."""
        out = torch.empty(len(hidden), head.linear.outputs)
        self.linear(self.operand(hidden), head.linear, Action.STORE, out)
        return out[:, : head.vocabulary]

    def _rounded(self, x: torch.Tensor) -> Bytes:
        out = Bytes(torch.empty(x.shape, dtype=torch.uint8), torch.empty(len(x)))
        self._call("sb_quantize", x, *x.shape, out.values, out.scales)
        return out

    def _call(self, name: str, *arguments: torch.Tensor | float | None) -> int:
        # Another engine of this process may have set another number.
        self._library.sb_threads(self._threads)
        return getattr(self._library, name)(*_plain(arguments)) or 0


def _plain(arguments: Sequence[torch.Tensor | float | None]) -> list[float | None]:
    plain: list[float | None] = []
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            if not argument.is_contiguous():
                raise ValueError("compiled operations take contiguous tensors")
            plain.append(argument.data_ptr())
        else:
            plain.append(argument)
    return plain
