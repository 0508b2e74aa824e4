"""The operations in plain torch: for CPUs that the compiled ones do not know, and to compare those with."""

import math

import torch
from torch.nn import functional

from enclave_worker.bloom.cache import PAGE, Cache, Parts
from enclave_worker.bloom.operations import Action, Bytes, Operand, Spans
from enclave_worker.bloom.quantize import ZERO, unpack_bytes, unpack_floats
from enclave_worker.bloom.weights import Head, Linear, Norm, Precision


class TorchOperations:
    """`Operations` of one precision. Matrices are laid out anew at their first use, for as much memory again."""

    def __init__(self, precision: Precision, threads: int) -> None:
        self._bytes = precision is Precision.INT8
        self._plain: dict[int, torch.Tensor] = {}
        torch.set_num_threads(threads)

    def norm(self, x: torch.Tensor, norm: Norm, epsilon: float) -> torch.Tensor:
        """See `Operations.norm`."""
        return functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, epsilon)

    def operand(self, x: torch.Tensor) -> Operand:
        """See `Operations.operand`."""
        if not self._bytes:
            return x
        largest = x.abs().amax(1)
        factor = torch.where(largest > 0, 127.0 / largest, 0.0)
        return Bytes((x * factor[:, None]).round().add(ZERO).to(torch.uint8), largest / 127.0)

    def norm_operand(self, x: torch.Tensor, norm: Norm, epsilon: float) -> Operand:
        """See `Operations.norm_operand`."""
        return self.operand(self.norm(x, norm, epsilon))

    def linear(self, x: Operand, linear: Linear, action: Action, out: torch.Tensor) -> None:
        """See `Operations.linear`."""
        y = (self._product(x, linear) + linear.bias)[:, : out.shape[1]]
        if action is Action.ADD:
            out += y
        else:
            out.copy_(functional.gelu(y, approximate="tanh") if action is Action.GELU else y)

    def attention(self, qkv: torch.Tensor, cache: Cache, layer: int, spans: Spans, out: torch.Tensor) -> None:
        """See `Operations.attention`."""
        shape = cache.shape
        heads = qkv.view(len(qkv), 3, shape.heads, shape.head_size)
        parts = cache.parts(layer)
        runs = spans.spans.tolist()
        for row, rows, position, table in runs:
            _store(parts, heads[row : row + rows], position, spans.tables[table:])
        for row, rows, position, table in runs:
            mixed = _attend(parts, heads[row : row + rows, 0], position, spans.tables[table:], cache.slopes)
            out[row : row + rows] = mixed.reshape(rows, -1)

    def argmax(self, hidden: torch.Tensor, head: Head) -> torch.Tensor:
        """See `Operations.argmax`; in 8 bits all logits are computed from the exact weights."""
        exact = head.exact
        logits = self.logits(hidden, head) if exact is None else hidden @ self._float(exact).T
        return logits.argmax(1).to(torch.int32)

    def logits(self, hidden: torch.Tensor, head: Head) -> torch.Tensor:
        """See `Operations.logits`."""
        return self._product(self.operand(hidden), head.linear)[:, : head.vocabulary]

    def _product(self, x: Operand, linear: Linear) -> torch.Tensor:
        if not isinstance(x, Bytes):
            return x @ self._matrix(linear)
        assert linear.scales is not None  # noqa: S101 - 8-bit operands meet 8-bit matrices
        sums = torch._int_mm((x.values.int() - ZERO).to(torch.int8), self._matrix(linear))  # noqa: SLF001 - no public name
        return sums.float() * linear.scales * x.scales[:, None]

    def _matrix(self, linear: Linear) -> torch.Tensor:
        """The matrix as [inputs, outputs], kept."""
        kept = self._plain.get(id(linear))
        if kept is None:
            laid = unpack_floats(linear.weight).float() if linear.scales is None else unpack_bytes(linear.weight)
            kept = self._plain[id(linear)] = laid.T.contiguous()
        return kept

    def _float(self, exact: torch.Tensor) -> torch.Tensor:
        if exact.dtype is torch.float32:
            return exact
        if id(exact) not in self._plain:
            self._plain[id(exact)] = exact.float()
        return self._plain[id(exact)]


def _store(parts: Parts, rows: torch.Tensor, position: int, table: torch.Tensor) -> None:
    for offset, (_, key, value) in enumerate(rows):
        page, slot = int(table[(position + offset) // PAGE]), (position + offset) % PAGE
        parts.keys[page, :, :, slot] = _rounded(key, parts.key_scales, page, slot)
        parts.values[page, :, slot] = _rounded(value, parts.value_scales, page, slot)


def _rounded(values: torch.Tensor, scales: torch.Tensor | None, page: int, slot: int) -> torch.Tensor:
    """`values` [heads, head_size] as the cache holds them; their scales are put into it."""
    if scales is None:
        return values.clamp(-65504, 65504)
    largest = values.abs().amax(1)
    scales[page, :, slot] = largest / 127.0
    return (values * torch.where(largest > 0, 127.0 / largest, 0.0)[:, None]).round()


def _attend(
    parts: Parts, queries: torch.Tensor, position: int, table: torch.Tensor, slopes: torch.Tensor
) -> torch.Tensor:
    """Outputs [rows, heads, head_size] of `queries`, the same, whose first is at `position`."""
    rows, _, size = queries.shape
    used = table[: -(-(position + rows) // PAGE)].long()
    keys, values = parts.keys[used].float(), parts.values[used].float()
    if parts.key_scales is not None and parts.value_scales is not None:
        keys = keys * parts.key_scales[used][:, :, None]
        values = values * parts.value_scales[used][..., None]
    keys = keys.permute(1, 2, 0, 3).flatten(2)
    values = values.transpose(0, 1).flatten(1, 2)
    distance = torch.arange(keys.shape[-1])[None] - (position + torch.arange(rows))[:, None]
    scores = queries.transpose(0, 1) @ keys / math.sqrt(size) + slopes[:, None, None] * distance
    scores = scores.masked_fill(distance > 0, -torch.inf)
    return (scores.softmax(-1) @ values).transpose(0, 1)
