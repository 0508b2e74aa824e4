"""EC2 instance types that can hold an enclave, by the rules that their names follow.

AWS: an Intel or AMD parent has at least 4 vCPUs, and burstable, metal and flex types hold no enclaves (Nitro Enclaves
user guide, "Requirements"). The image is for x86-64, so Graviton is left out. AMD's generations 7 and 8 have one thread
a core, all others here two (EC2 user guide, "Supported CPU options"). A test compares all of it with the answers of
EC2's DescribeInstanceTypes that moto keeps.
"""

import re
from dataclasses import dataclass
from typing import Final

MIB_PER_VCPU: Final = {"c": 2048, "m": 4096, "r": 8192}
GENERATIONS: Final = ("8i", "8a", "7i", "7a", "6i", "6a")
ONE_THREAD: Final = {"7a", "8a"}
VCPUS: Final = {
    "xlarge": 4,
    "2xlarge": 8,
    "4xlarge": 16,
    "8xlarge": 32,
    "12xlarge": 48,
    "16xlarge": 64,
    "24xlarge": 96,
    "48xlarge": 192,
}
"""Sizes that all these generations have, but for one: 6i ends at 32xlarge."""

_NAME: Final = re.compile(r"([cmr])([678][ia])\.([0-9]*xlarge)")


@dataclass(frozen=True, slots=True)
class InstanceType:
    """Its vCPUs, threads of a core, and memory in MiB."""

    name: str
    vcpus: int
    threads: int
    memory_mib: int


def instance_type(name: str) -> InstanceType:
    """The type of that name.

    Raises:
        ValueError: it holds no enclave, or is not known here.
    """
    match = _NAME.fullmatch(name)
    if match is None or match[3] not in VCPUS or (match[2], match[3]) == ("6i", "48xlarge"):
        raise ValueError(
            f"{name[:32]} is not among the types known to hold an enclave for x86-64 "
            f"(c, m and r of generations {', '.join(GENERATIONS)}, from xlarge)"
        )
    vcpus = VCPUS[match[3]]
    return InstanceType(name, vcpus, 1 if match[2] in ONE_THREAD else 2, vcpus * MIB_PER_VCPU[match[1]])


def known_types() -> list[InstanceType]:
    """All of them, by vCPUs and memory, and among equals the newest generation first."""
    names = (f"{family}{generation}.{size}" for generation in GENERATIONS for family in MIB_PER_VCPU for size in VCPUS)
    types = [instance_type(name) for name in names if not name.endswith("6i.48xlarge")]
    return sorted(types, key=lambda one: (one.vcpus, one.memory_mib))
