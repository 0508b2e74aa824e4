"""Merkle tree hash of RFC 6962, section 2.1, over any number of leaves, in memory that grows with their logarithm."""

import hashlib


class MerkleTree:
    """Append leaves in order, then ask for the root."""

    def __init__(self) -> None:
        # Roots of complete subtrees, each with its number of leaves, sizes falling: the binary digits of the leaf
        # count.
        self._peaks: list[tuple[int, bytes]] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf's bytes."""
        peak = (1, hashlib.sha256(b"\0" + leaf).digest())
        while self._peaks and self._peaks[-1][0] == peak[0]:
            size, left = self._peaks.pop()
            peak = (2 * size, _node(left, peak[1]))
        self._peaks.append(peak)

    def root(self) -> bytes:
        """32 bytes; of no leaves, the SHA-256 of nothing."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        root = self._peaks[-1][1]
        for _, left in reversed(self._peaks[:-1]):
            root = _node(left, root)
        return root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
