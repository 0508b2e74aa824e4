"""Enclave image files for tests, written from the description of the format alone, field by field."""

import zlib
from collections.abc import Sequence

PARTS = ((1, b"kernel"), (2, b"console=ttyS0"), (3, b"init"), (3, b"application"), (5, b'{"ImageName":"x"}'))
"""Types and data of a small image."""


def build(parts: Sequence[tuple[int, bytes]], *, flags: int = 0) -> bytes:
    """An image of these sections."""
    body, offsets, sizes = b"", [], []
    for kind, data in parts:
        offsets.append(548 + len(body))
        sizes.append(len(data))
        body += kind.to_bytes(2, "big") + bytes(2) + len(data).to_bytes(8, "big") + data
    table = b"".join(n.to_bytes(8, "big") for row in (offsets, sizes) for n in row + [0] * (32 - len(row)))
    header = b".eif" + (4).to_bytes(2, "big") + flags.to_bytes(2, "big") + (2**29).to_bytes(8, "big")
    header += (2).to_bytes(8, "big") + bytes(2) + len(parts).to_bytes(2, "big") + table + bytes(4)
    return header + zlib.crc32(header + body).to_bytes(4, "big") + body
