"""What the figures were measured on."""

import os
import platform
from pathlib import Path
from typing import Any, Final

FLAGS: Final = (
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
    "bf16",
)
"""Instruction sets that decide which kernels an engine has."""


def describe_machine() -> dict[str, Any]:
    """Processor, instruction sets that matter, cores, memory in MiB, kernel and Python."""
    processor = _fields(Path("/proc/cpuinfo"))
    memory = _fields(Path("/proc/meminfo"))
    flags = (processor.get("flags") or processor.get("Features") or "").split()
    return {
        "processor": processor.get("model name", platform.processor() or platform.machine()),
        "family_and_model": f"{processor.get('cpu family', '?')}/{processor.get('model', '?')}",
        "instruction_sets": [flag for flag in FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": int(memory.get("MemTotal", "0 kB").split()[0]) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _fields(path: Path) -> dict[str, str]:
    """The first of each `name: value` line."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found
