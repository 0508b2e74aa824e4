"""What the kernel of an enclave must say about its random numbers and its clock before anything is served.

An image that boots elsewhere, or a host that offers another device, must not be served from: keys would come from a
source that somebody may know, and ages be counted by a clock that somebody may set.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

RANDOM: Final = Path("devices/virtual/misc/hw_random/rng_current")
RANDOM_SOURCES: Final = frozenset({"nsm-hwrng"})
"""The hypervisor's generator behind the NSM, which feeds the kernel's."""
CLOCK: Final = Path("devices/system/clocksource/clocksource0/current_clocksource")
CLOCK_SOURCES: Final = frozenset({"kvm-clock", "arch_sys_counter"})
"""The hypervisor's clock on Intel and AMD, the processor's counter on Graviton; the parent can set neither."""
SYSFS: Final = Path("/sys")
MAX_NAME: Final = 64


class PlatformError(Exception):
    """The kernel's sources are not those of a Nitro Enclave; the text names the one and what it is."""


def check_platform(sysfs: Path = SYSFS, clocks: Collection[str] = CLOCK_SOURCES) -> None:
    """See that random numbers and time come from the hypervisor; `clocks` are the clock sources that will do.

    Raises:
        PlatformError: a source is another one, or cannot be read.
    """
    for what, path, allowed in (("random", RANDOM, RANDOM_SOURCES), ("clock", CLOCK, clocks)):
        found = _read(sysfs / path)
        if found not in allowed:
            raise PlatformError(f"the {what} source is {found or 'unknown'} and not {' or '.join(sorted(allowed))}")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(MAX_NAME).strip()
    except OSError:
        return ""
