"""Looks for planted words wherever a machine could have kept them: in files and in processes, in any spelling."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 4 * 1024 * 1024
HASH_BITS = 20
_WRITABLE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")


def spellings(word: str) -> set[bytes]:
    """`word` as raw text, JSON, UTF-16, hexadecimal, and base64 at each of the three alignments."""
    raw = word.encode()
    found = {
        raw,
        raw.hex().encode(),
        raw.hex().upper().encode(),
        word.encode("utf-16-le"),
        json.dumps(word)[1:-1].encode(),
    }
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        # The first and last characters mix in neighbouring bytes.
        found.add(encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4])
    return found


def _hashes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Knuth's multiplicative hash of 32-bit values, as indexes of a table of 2**HASH_BITS."""
    return (values * np.uint32(2654435761)) >> np.uint32(32 - HASH_BITS)


class Canary:
    """A set of words to look for: gigabytes for hundreds of words in seconds.

    Four bytes from the middle of each spelling are its anchor. A table of the anchors' hashes leaves few places of the
    data to compare with the spellings themselves.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._patterns = [(pattern, word) for word in words for pattern in spellings(word)]
        self._longest = max(len(pattern) for pattern, _ in self._patterns)
        self._anchors: dict[int, list[tuple[bytes, str]]] = {}
        for pattern, word in self._patterns:
            middle = len(pattern) // 2
            anchor = int.from_bytes(pattern[middle : middle + 4], "little")
            self._anchors.setdefault(anchor, []).append((pattern, word))
        self._table = np.zeros(1 << HASH_BITS, dtype=np.bool_)
        self._table[_hashes(np.array(list(self._anchors), dtype="<u4"))] = True

    def find(self, data: bytes) -> set[str]:
        """The words that `data` holds in some spelling."""
        found: set[str] = set()
        for phase in range(4):
            count = (len(data) - phase) // 4
            values = np.frombuffer(data, dtype="<u4", offset=phase, count=count) if count > 0 else np.zeros(0, "<u4")
            for index in np.flatnonzero(self._table[_hashes(values)]).tolist():
                for pattern, word in self._anchors.get(int(values[index]), ()):
                    start = phase + 4 * index - len(pattern) // 2
                    if start >= 0 and data.startswith(pattern, start):
                        found.add(word)
        return found

    def find_in_file(self, path: Path) -> set[str]:
        """The words in a file."""
        with path.open("rb") as file:
            return self._find_in_blocks(iter(lambda: file.read(BLOCK), b""))

    def find_in_process(self, pid: int) -> set[str]:
        """The words in a process's writable memory, arguments and environment."""
        folder = Path(f"/proc/{pid}")
        found = self.find((folder / "environ").read_bytes()) | self.find((folder / "cmdline").read_bytes())
        return found | self._find_in_blocks(_memory(folder))

    def _find_in_blocks(self, blocks: Iterator[bytes]) -> set[str]:
        found: set[str] = set()
        tail = b""
        for block in blocks:
            data = tail + block
            found |= self.find(data)
            tail = data[-self._longest :]
        return found


def _memory(folder: Path) -> Iterator[bytes]:
    """Blocks of all readable and writable mappings of the process at `folder`."""
    with (folder / "mem").open("rb", buffering=0) as memory:
        for line in (folder / "maps").read_text().splitlines():
            match = _WRITABLE.match(line)
            if match is None:
                continue
            start, end = int(match[1], 16), int(match[2], 16)
            while start < end:
                try:
                    memory.seek(start)
                    block = memory.read(min(BLOCK, end - start))
                except OSError:
                    break  # a guard page or a mapping that is gone
                if not block:
                    break
                yield block
                start += len(block)
