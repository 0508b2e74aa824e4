"""Weights in 8 bits, one scale an output, laid out for the CPU's instructions.

Two neighbouring weights' magnitudes add up to at most 128: AVX2 multiplies unsigned by signed bytes and adds two
products in 16 bits, and 255 * 128 is the most that fits. CPUs with VNNI would not need this, and get the same weights
so that every CPU gives the same answer.
"""

from dataclasses import dataclass
from typing import Final

import torch

PANEL: Final = 16
"""Outputs side by side in a panel."""
GROUP: Final = 4
"""Inputs that one instruction multiplies and adds."""
LARGEST: Final = 127
PAIR: Final = 128
SHRINKS: Final = (1.0, 0.93, 0.86, 0.8)
"""Scales that are tried, relative to the one that clips nothing; the one with the least squared error is taken."""
ZERO: Final = 128
"""What is added to 8-bit activations to make them unsigned."""
AT_ONCE: Final = 4096
"""Outputs that are rounded at a time, which bounds the memory that packing takes."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """A matrix in 8 bits: `values` int8 [outputs, inputs], `scales` float32 [outputs]."""

    values: torch.Tensor
    scales: torch.Tensor


def round_weights(weight: torch.Tensor) -> Rounded:
    """`weight` [outputs, inputs], inputs even, in 8 bits with the least squared error for each output."""
    parts = [_round_some(part.float()) for part in torch.split(weight, AT_ONCE)]
    return Rounded(torch.cat([part.values for part in parts]), torch.cat([part.scales for part in parts]))


def _round_some(weight: torch.Tensor) -> Rounded:
    magnitudes = weight.abs()
    pairs = _pairs(magnitudes).sum(-1).amax(1)
    widest = torch.maximum(magnitudes.amax(1) / LARGEST, pairs / PAIR).clamp_min(torch.finfo(torch.float32).tiny)
    best, values, least = widest, torch.zeros_like(weight, dtype=torch.int8), torch.full_like(widest, torch.inf)
    for shrink in SHRINKS:
        scale = widest * shrink
        tried = _clip_pairs((weight / scale[:, None]).round().clamp(-LARGEST, LARGEST))
        error = (tried * scale[:, None] - weight).square().sum(1)
        better = error < least
        best = torch.where(better, scale, best)
        least = torch.where(better, error, least)
        values[better] = tried[better].to(torch.int8)
    return Rounded(values, best)


def _clip_pairs(values: torch.Tensor) -> torch.Tensor:
    """Whole numbers whose neighbours' magnitudes add up to at most PAIR, each pair at its nearest such."""
    pair = _pairs(values)
    magnitude = pair.abs()
    excess = (magnitude.sum(-1) - PAIR).clamp_min(0)
    cut = torch.stack([(excess / 2).floor(), (excess / 2).ceil()], -1)
    # A weight smaller than its share of the cut becomes 0, and its neighbour takes the rest.
    short = (cut - magnitude).clamp_min(0)
    kept = (magnitude - cut - short.flip(-1)).clamp_min(0)
    return (pair.sign() * kept).view_as(values)


def _pairs(values: torch.Tensor) -> torch.Tensor:
    return values.view(len(values), -1, 2)


def pack_bytes(values: torch.Tensor) -> torch.Tensor:
    """int8 [outputs, inputs] as panels, [outputs / 16, inputs / 4, 16, 4], outputs padded with zeros."""
    padded = pad_outputs(values)
    outputs, inputs = padded.shape
    return padded.view(outputs // PANEL, PANEL, inputs // GROUP, GROUP).permute(0, 2, 1, 3).contiguous()


def unpack_bytes(packed: torch.Tensor) -> torch.Tensor:
    """The inverse of `pack_bytes`: [outputs with padding, inputs]."""
    panels, groups, _, _ = packed.shape
    return packed.permute(0, 2, 1, 3).reshape(panels * PANEL, groups * GROUP)


def pack_floats(weight: torch.Tensor) -> torch.Tensor:
    """[outputs, inputs] as panels, [outputs / 16, inputs, 16], outputs padded with zeros."""
    padded = pad_outputs(weight)
    outputs, inputs = padded.shape
    return padded.view(outputs // PANEL, PANEL, inputs).permute(0, 2, 1).contiguous()


def unpack_floats(packed: torch.Tensor) -> torch.Tensor:
    """The inverse of `pack_floats`: [outputs with padding, inputs]."""
    return packed.permute(0, 2, 1).reshape(-1, packed.shape[1])


def pad_outputs(values: torch.Tensor) -> torch.Tensor:
    """`values` with zeros behind its first dimension, up to a multiple of 16."""
    missing = -len(values) % PANEL
    if not missing:
        return values
    return torch.cat([values, values.new_zeros(missing, *values.shape[1:])])
