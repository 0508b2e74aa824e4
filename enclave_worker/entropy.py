"""Random bytes of the hypervisor for the kernel's generator, before anything makes a key.

An enclave boots without disks, a network or a user: the kernel has little else to draw on. The bytes are credited, as
AWS's own software does (aws-nitro-enclaves-sdk-c), since they come from the one party that sees this memory anyway.
"""

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from enclave_worker.nsm import NsmDevice, NsmError

RANDOM: Final = Path("/dev/random")
SEED: Final = 1024
"""Bytes that are drawn, the same number as AWS's."""
MAX_DRAWS: Final = 64
"""Times that the module is asked: it gives up to 256 bytes at a time and may give fewer."""
RNDADDENTROPY: Final = 0x40085203
"""_IOW('R', 0x03, int[2]): `struct rand_pool_info` of the bits credited, the bytes that follow, and those."""
RNDRESEEDCRNG: Final = 0x5207
"""_IO('R', 0x07): use the new bytes now."""

Ioctl = Callable[[int, int, bytearray], object]


def seed_kernel(device: NsmDevice, random: Path = RANDOM, ioctl: Ioctl = fcntl.ioctl) -> int:
    """Feed the kernel's generator from the module; how many bytes it was given.

    Raises:
        NsmError: the module gives none. OSError: the kernel takes none.
    """
    seed = _draw(device)
    descriptor = os.open(random, os.O_WRONLY | os.O_CLOEXEC)
    try:
        # A bytearray, which the kernel is given as it is: Python copies bytes, and no more than 1,024 of them.
        ioctl(descriptor, RNDADDENTROPY, bytearray(struct.pack("=ii", len(seed) * 8, len(seed)) + seed))
        ioctl(descriptor, RNDRESEEDCRNG, bytearray())
    finally:
        os.close(descriptor)
    return len(seed)


def _draw(device: NsmDevice) -> bytes:
    seed = b""
    for _ in range(MAX_DRAWS):
        drawn = device.random()
        # A module that repeats itself or gives zeros is broken; the chance of that by itself is nil.
        if len(drawn) >= 16 and (not any(drawn) or drawn in seed):
            raise NsmError("GetRandom", "InvalidResponse")
        seed += drawn
        if len(seed) >= SEED:
            return seed[:SEED]
    raise NsmError("GetRandom", "InvalidResponse")
