"""The allocator's file: how much of a parent is set aside for its enclave, and why."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sealbatch.fleet.instances import known_types
from sealbatch.fleet.machine import Machine, machine_of

ALLOCATOR: Final = Path("/etc/nitro_enclaves/allocator.yaml")
GIB: Final = 1024
PARENT_CPUS: Final = 2
PARENT_MIB: Final = 2 * GIB
"""Bridge, agents and the system; the bridge itself was seen below 200 MiB."""

_LINE: Final = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*\"?([^\"]*?)\"?\s*")


class AllocatorError(Exception):
    """The machine cannot give what the enclave needs, or the file says nothing; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """What is set aside: memory in MiB and vCPUs, whole cores of one NUMA node."""

    memory_mib: int
    cpus: int
    reasons: tuple[str, ...] = ()

    def render(self) -> str:
        """The file's text. Its reader, nitro-enclaves-allocator, knows no empty lines and no comments after values."""
        comments = [f"# {reason}" for reason in self.reasons]
        return "\n".join(["---", *comments, f"memory_mib: {self.memory_mib}", f"cpu_count: {self.cpus}", ""])


def allocate(machine: Machine, needed_mib: int, because: str, parent_cpus: int = PARENT_CPUS) -> Allocation:
    """Set aside the memory that is needed, and the most CPUs of one NUMA node that the parent can spare.

    Raises:
        AllocatorError: no node of the machine has both.
    """
    memory = _whole(needed_mib)
    kept = max(-(-parent_cpus // machine.threads), 1) * machine.threads
    best = None
    for number, node in enumerate(machine.nodes):
        first = number == 0
        cpus = (node.vcpus - (kept if first else 0)) // machine.threads * machine.threads
        spare = node.memory_mib - (PARENT_MIB if first else 0)
        if cpus >= machine.threads and spare >= memory and (best is None or cpus > best):
            best = cpus
    if best is None:
        raise AllocatorError(_too_small(machine, memory, kept))
    return Allocation(memory, best, tuple(_reasons(machine, memory, because, kept, best)))


def read_allocation(path: Path) -> Allocation:
    """What a file sets aside, read as the allocator reads it: nothing counts before the line `---`.

    Raises:
        AllocatorError: the file cannot be read, or states no memory and CPUs.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise AllocatorError(f"{path} cannot be read: `sealbatch enclave size -o {path}` writes it") from None
    if "---" not in lines:
        raise AllocatorError(f"{path} has no line `---`, before which the allocator reads nothing")
    values = {
        match[1]: match[2]
        for line in lines[lines.index("---") + 1 :]
        if not line.lstrip().startswith("#") and (match := _LINE.fullmatch(line)) is not None
    }
    memory, cpus = values.get("memory_mib", ""), values.get("cpu_count", "")
    if not memory.isdecimal():
        raise AllocatorError(f"{path} states no number for memory_mib")
    if not cpus.isdecimal():
        raise AllocatorError(f"{path} states no number for cpu_count")
    return Allocation(int(memory), int(cpus))


def _whole(mib: int) -> int:
    """Rounded up to what 1 GiB pages serve: an enclave may have few regions of memory, and a page of 2 MiB is one."""
    return -(-mib // GIB) * GIB if mib > GIB else -(-mib // 2) * 2


def _reasons(machine: Machine, memory: int, because: str, kept: int, cpus: int) -> list[str]:
    nodes = len(machine.nodes)
    where = "its one NUMA node" if nodes == 1 else f"one of {nodes} NUMA nodes, since an enclave lies in one"
    threads = "cores have one thread" if machine.threads == 1 else f"a core is {machine.threads} hyperthreads"
    return [
        f"{memory} MiB: {because}; whole GiB, for large pages",
        f"{cpus} CPUs: of {where} on {machine.name}; the parent keeps {kept}, CPU 0 among them",
        f"whole cores alone can be set aside, and here {threads}",
    ]


def _too_small(machine: Machine, memory: int, kept: int) -> str:
    most = max(node.memory_mib - (PARENT_MIB if number == 0 else 0) for number, node in enumerate(machine.nodes))
    said = f"{machine.name} has no NUMA node with {memory} MiB and a core beside the parent's ({most} MiB at the most)"
    for kind in known_types():
        if kind.vcpus > kept and machine_of(kind, 1).nodes[0].memory_mib - PARENT_MIB >= memory:
            return f"{said}; the smallest type that has is {kind.name}"
    return said
