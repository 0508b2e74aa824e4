"""An input that is being read once and knows afterwards what it held."""

import hashlib
from typing import BinaryIO, Final

_BLOCK: Final = 1 << 20


class HashedSource:
    """Gives the lines of an input and counts them into a digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def readline(self, limit: int = -1) -> bytes:
        """The next line or `limit` bytes of it.

        Raises:
            OSError: reading failed.
        """
        data = self._file.readline(limit)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """The SHA-256 of the whole input, in hexadecimal; what was not asked for is read now.

        Raises:
            OSError: reading failed.
        """
        while data := self._file.read(_BLOCK):
            self._hash.update(data)
        return self._hash.hexdigest()
