"""An input that is being read once and knows afterwards what it held."""

import hashlib
import sys
from typing import Final

from producer.lines import LineSource

_BLOCK: Final = 1 << 20


class HashedSource:
    """Gives the lines of an input, or of its next `size` bytes, and counts them into a digest."""

    def __init__(self, source: LineSource, size: int = sys.maxsize) -> None:
        self._source = source
        self._left = size
        self._hash = hashlib.sha256()

    def readline(self, limit: int, /) -> bytes:
        """The next line or `limit` bytes of it; nothing at the end.

        Raises:
            OSError: reading failed.
        """
        data = self._source.readline(min(limit, self._left))
        self._left -= len(data)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """The SHA-256 of the whole input, in hexadecimal; what was not asked for is read now.

        Raises:
            OSError: reading failed.
        """
        while self.readline(_BLOCK):
            pass
        return self._hash.hexdigest()
