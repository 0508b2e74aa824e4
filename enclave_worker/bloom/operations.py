"""The few operations that a forward pass is made of, and the two ways to compute them."""

import enum
from dataclasses import dataclass
from typing import Protocol

import torch

from enclave_worker.bloom.cache import Cache
from enclave_worker.bloom.weights import Head, Linear, Norm


class Action(enum.IntEnum):
    """What happens to a product: it is stored, added to what is there, or put through Bloom's GELU."""

    STORE = 0
    ADD = 1
    GELU = 2


@dataclass(frozen=True, slots=True)
class Bytes:
    """Rows in 8 bits: `values` uint8 [rows, inputs] hold the value + 128, `scales` float32 [rows]."""

    values: torch.Tensor
    scales: torch.Tensor


Operand = torch.Tensor | Bytes
"""What a matrix is multiplied with: float32 [rows, inputs], or in 8 bits."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Which rows of a batch are whose.

    `spans` int32 [n, 4]: first row, rows, position of the first row, start of the sequence's pages in `tables`.
    `tables` int32: page numbers, sequence after sequence.
    """

    spans: torch.Tensor
    tables: torch.Tensor


class Operations(Protocol):
    """One precision's operations. All tensors are float32 and contiguous unless said otherwise."""

    def norm(self, x: torch.Tensor, norm: Norm, epsilon: float) -> torch.Tensor:
        """Layer norm of each row of `x` [rows, hidden]."""
        ...

    def operand(self, x: torch.Tensor) -> Operand:
        """`x` [rows, inputs] in the form that matrices are multiplied with."""
        ...

    def norm_operand(self, x: torch.Tensor, norm: Norm, epsilon: float) -> Operand:
        """`operand(norm(x))`."""
        ...

    def linear(self, x: Operand, linear: Linear, action: Action, out: torch.Tensor) -> None:
        """`x` times the matrix plus its bias, into `out` [rows, outputs] by `action`."""
        ...

    def attention(self, qkv: torch.Tensor, cache: Cache, layer: int, spans: Spans, out: torch.Tensor) -> None:
        """Put keys and values of `qkv` [rows, 3 hidden] into the cache, then attend into `out` [rows, hidden]."""
        ...

    def argmax(self, hidden: torch.Tensor, head: Head) -> torch.Tensor:
        """The token with the largest logit for each row of `hidden`, int32 [rows]."""
        ...

    def logits(self, hidden: torch.Tensor, head: Head) -> torch.Tensor:
        """Logits of each row of `hidden`, [rows, vocabulary]; in 8 bits they are the screened ones."""
        ...
