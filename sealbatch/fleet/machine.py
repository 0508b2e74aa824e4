"""What a parent instance has to give to an enclave: its NUMA nodes with their CPUs and memory."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sealbatch.fleet.instances import InstanceType

SYSFS: Final = Path("/sys")
ONE_NODE: Final = 48
"""vCPUs up to which a type is taken for one NUMA node. AWS does not say where the others are cut; the instance does."""
POOL: Final = "/sys/module/nitro_enclaves/parameters/ne_cpus"

_RANGE: Final = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_MEMORY: Final = re.compile(r"MemTotal:\s+([0-9]+) kB")


class MachineError(Exception):
    """This machine cannot be read, or not as it is now; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Node:
    """One NUMA node: vCPUs, and memory in MiB. The first has CPU 0, which the parent keeps."""

    vcpus: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A parent: its nodes, the one with CPU 0 first, and the threads of a core."""

    name: str
    nodes: tuple[Node, ...]
    threads: int


def machine_of(kind: InstanceType, nodes: int | None) -> Machine:
    """What an instance of a type will be; `nodes` is its number of NUMA nodes, if known.

    Raises:
        MachineError: the type is large, and the number of its nodes is not known.
    """
    if nodes is None and kind.vcpus > ONE_NODE:
        raise MachineError(
            f"{kind.name} may be cut into NUMA nodes, and an enclave lies in one: "
            "give --numa-nodes (`lscpu` there says it), or type this on the instance without --instance-type"
        )
    count = nodes or 1
    return Machine(kind.name, (Node(kind.vcpus // count, kind.memory_mib // count),) * count, kind.threads)


def this_machine(sysfs: Path = SYSFS) -> Machine:
    """The machine that this runs on.

    Raises:
        MachineError: the kernel does not tell, or CPUs are off because they are set aside for an enclave already.
    """
    cpus = sysfs / "devices/system/cpu"
    try:
        if _numbers((cpus / "present").read_text()) != _numbers((cpus / "online").read_text()):
            raise MachineError(
                "CPUs are set aside already, so this machine does not show them: free them with "
                f"`echo | sudo tee {POOL}` while no enclave runs, or give --instance-type"
            )
        threads = len(_numbers((cpus / "cpu0/topology/thread_siblings_list").read_text()))
        nodes = [_node(path) for path in sorted((sysfs / "devices/system/node").glob("node[0-9]*"), key=_index)]
    except (OSError, ValueError, TypeError) as error:
        raise MachineError(f"this machine's CPUs cannot be read ({error}): give --instance-type") from None
    if not nodes:
        raise MachineError("this machine's memory cannot be read: give --instance-type")
    # Stable: only the node of CPU 0 comes forward.
    nodes.sort(key=lambda found: 0 not in found[0])
    return Machine("this machine", tuple(Node(len(cpus), memory) for cpus, memory in nodes), threads)


def _node(path: Path) -> tuple[set[int], int]:
    match = _MEMORY.search((path / "meminfo").read_text())
    if match is None:
        raise ValueError(f"{path.name} states no MemTotal")
    return _numbers((path / "cpulist").read_text()), int(match[1]) // 1024


def _index(path: Path) -> int:
    return int(path.name.removeprefix("node"))


def _numbers(text: str) -> set[int]:
    """The numbers of a kernel's list such as `0-3,8`."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"no list of CPUs: {part[:16]!r}")
        found |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found
