"""Where keys and values lie: pages of 16 positions, [layers, pages, heads, 2, head_size * 16]."""

import mmap
from typing import Final

import torch

from enclave_worker.bloom.config import BloomShape

PAGE: Final = 16
"""Positions of a page."""


class Cache:
    """Memory for `pages` pages, and nothing about who uses them.

    Keys are transposed within their page ([head_size, 16]), values are not ([16, head_size]). Pages that were never
    used take no memory: it is mapped, and the kernel gives zeros at the first touch.
    """

    def __init__(self, shape: BloomShape, pages: int, *, halves: bool) -> None:
        self.shape = shape
        self.pages = pages
        self.halves = halves
        self.slopes = shape.slopes()
        size = shape.layers * pages * self.page_values(shape)
        self._memory = mmap.mmap(-1, size * (2 if halves else 4))
        self._memory.madvise(mmap.MADV_HUGEPAGE)
        flat = torch.frombuffer(self._memory, dtype=torch.float16 if halves else torch.float32)
        self.data = flat.view(shape.layers, pages, shape.heads, 2, shape.head_size * PAGE)

    @staticmethod
    def page_values(shape: BloomShape) -> int:
        """Values that a page holds in one layer."""
        return shape.heads * 2 * shape.head_size * PAGE

    @classmethod
    def page_bytes(cls, shape: BloomShape, *, halves: bool) -> int:
        """Bytes of a page in all layers."""
        return shape.layers * cls.page_values(shape) * (2 if halves else 4)
