"""Where keys and values lie: pages of 16 positions, [layers, pages, heads, part], a part being one head's bytes."""

import enum
import mmap
from dataclasses import dataclass
from typing import Final

import torch

from enclave_worker.bloom.config import BloomShape

PAGE: Final = 16
"""Positions of a page."""


class Width(enum.IntEnum):
    """Bytes of a value in the cache."""

    BYTE = 1
    HALF = 2
    FLOAT = 4


_TYPES: Final = {Width.BYTE: torch.int8, Width.HALF: torch.float16, Width.FLOAT: torch.float32}


@dataclass(frozen=True, slots=True)
class Parts:
    """Views of one layer. `keys` [pages, heads, head_size, 16], `values` [pages, heads, 16, head_size].

    With bytes there is a scale for each position, float32 [pages, heads, 16]; else both are None.
    """

    keys: torch.Tensor
    values: torch.Tensor
    key_scales: torch.Tensor | None
    value_scales: torch.Tensor | None


class Cache:
    """Memory for `pages` pages, and nothing about who uses them.

    Pages that were never used take no memory: it is mapped, and the kernel gives zeros at the first touch.
    """

    def __init__(self, shape: BloomShape, pages: int, width: Width) -> None:
        self.shape = shape
        self.pages = pages
        self.width = width
        self.slopes = shape.slopes()
        self._memory = mmap.mmap(-1, pages * self.page_bytes(shape, width))
        # Large pages spare most of the faults of the first touches.
        self._memory.madvise(mmap.MADV_HUGEPAGE)
        flat = torch.frombuffer(self._memory, dtype=torch.uint8)
        self.data = flat.view(shape.layers, pages, shape.heads, self.part_bytes(shape, width))

    @staticmethod
    def part_bytes(shape: BloomShape, width: Width) -> int:
        """Bytes of one head's part of a page: keys, values and, with bytes, their scales."""
        return 2 * shape.head_size * PAGE * width + (2 * PAGE * 4 if width is Width.BYTE else 0)

    @classmethod
    def page_bytes(cls, shape: BloomShape, width: Width) -> int:
        """Bytes of a page in all layers."""
        return shape.layers * shape.heads * cls.part_bytes(shape, width)

    def parts(self, layer: int) -> Parts:
        """What plain torch computes with."""
        size = self.shape.head_size * PAGE * self.width
        data, kind = self.data[layer], _TYPES[self.width]
        places = data.shape[:2]
        keys = data[..., :size].view(kind).view(*places, self.shape.head_size, PAGE)
        values = data[..., size : 2 * size].view(kind).view(*places, PAGE, self.shape.head_size)
        if self.width is not Width.BYTE:
            return Parts(keys, values, None, None)
        scales = data[..., 2 * size :].view(torch.float32)
        return Parts(keys, values, scales[..., :PAGE], scales[..., PAGE:])
