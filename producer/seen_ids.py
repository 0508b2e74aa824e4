"""Finds the custom_id that stands in a file twice, for millions of them, in 16 bytes for each slot of a table.

What is kept of an id is a 64-bit keyed hash, the key random for each run. Two different ids are taken for the same
with a chance of n^2 / 2^65 for n ids: 3 in 10^8 for a million, 3 in 10^4 for a hundred million; the file would be
refused, and accepted on the next try. The key keeps anyone from writing a file that collides on purpose.
"""

import os
from array import array
from hashlib import blake2b
from typing import Final

_FIRST_SIZE: Final = 1 << 12


class SeenIds:
    """An open-addressing hash table from the hash of an id to the line that it was first seen on."""

    def __init__(self) -> None:
        self._key = os.urandom(16)
        self._count = 0
        self._make_table(_FIRST_SIZE)

    def add(self, custom_id: str, line: int) -> int:
        """Remember the id; 0 if it is new, else the line (from 1) that it was first seen on."""
        # Zero marks an empty slot, so no hash may be zero.
        mark = int.from_bytes(blake2b(custom_id.encode(), digest_size=8, key=self._key).digest(), "little") or 1
        marks, mask = self._marks, self._mask
        slot = mark & mask
        while found := marks[slot]:
            if found == mark:
                return self._lines[slot]
            slot = (slot + 1) & mask
        marks[slot] = mark
        self._lines[slot] = line
        self._count += 1
        if 3 * self._count > 2 * len(marks):
            self._grow()
        return 0

    def _make_table(self, size: int) -> None:
        self._marks = array("Q", bytes(8 * size))
        self._lines = array("Q", bytes(8 * size))
        self._mask = size - 1

    def _grow(self) -> None:
        old_marks, old_lines = self._marks, self._lines
        self._make_table(2 * len(old_marks))
        marks, lines, mask = self._marks, self._lines, self._mask
        for mark, line in zip(old_marks, old_lines, strict=True):
            if mark:
                slot = mark & mask
                while marks[slot]:
                    slot = (slot + 1) & mask
                marks[slot] = mark
                lines[slot] = line
