"""How many instructions the compiled operations take, counted by valgrind's callgrind.

The same program on the same inputs takes the same number on a busy machine and on a quiet one, so that a regression of
a per cent is seen in a minute. Instructions say nothing about memory, and valgrind knows no AVX-512: it counts AVX2.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.environments import MissingError, succeed

SOURCE: Final = Path(__file__).resolve().with_suffix(".cpp")
LIBRARY: Final = SOURCE.parents[1] / "enclave_worker" / "native" / "libbloom.so"
OPERATIONS: Final = {
    "linear_int8": ("sb_linear_s8", 64 * 1024 * 3072),
    "linear_bf16": ("sb_linear_f32", 64 * 1024 * 3072),
    "linear_fp32": ("sb_linear_f32", 64 * 1024 * 3072),
    "attention_int8": ("sb_attention", 64 * 144 * 16 * 64 * 2),
    "norm_and_round": ("sb_layer_norm_quantize", 64 * 1024),
}
"""The function that is counted, and the multiply-adds in it (of the norm: values)."""
TOLERANCE: Final = 0.01


def measure(build: Path) -> dict[str, Any]:
    """Instructions of each operation, and for each of its multiply-adds.

    Raises:
        MissingError: there is no compiler or no valgrind.
    """
    if (valgrind := shutil.which("valgrind")) is None:
        raise MissingError("valgrind is not installed")
    if (compiler := os.environ.get("CXX") or shutil.which("g++")) is None:
        raise MissingError("no C++ compiler")
    program = _compile(compiler, build)
    counts = {name: _count(valgrind, program, name, function) for name, (function, _) in OPERATIONS.items()}
    version = subprocess.run([compiler, "-dumpfullversion"], check=True, capture_output=True, text=True).stdout.strip()
    return {
        "compiler": f"{Path(compiler).name} {version}",
        "operations": {
            name: {"instructions": count, "each": round(count / OPERATIONS[name][1], 5)}
            for name, count in counts.items()
        },
    }


def regressions(now: Mapping[str, Any], before: Path) -> list[str]:
    """What takes over a per cent more instructions than the file `before` says, if the same compiler built both."""
    if not before.is_file():
        return []
    known = json.loads(before.read_bytes())
    if known["compiler"] != now["compiler"]:
        return []
    found = []
    for name, operation in now["operations"].items():
        old = known["operations"].get(name, {}).get("instructions")
        if old and operation["instructions"] > old * (1 + TOLERANCE):
            found.append(f"{name}: {operation['instructions']:,} instructions, {old:,} before")
    return found


def _compile(compiler: str, build: Path) -> Path:
    """The program, linked with the library that the engine uses."""
    if not LIBRARY.is_file():
        raise MissingError("the engine's compiled operations were not built here")
    build.mkdir(parents=True, exist_ok=True)
    program = build / "instructions"
    linked = [str(SOURCE), str(LIBRARY), f"-Wl,-rpath,{LIBRARY.parent}", "-o", str(program)]
    succeed([compiler, "-std=c++20", "-O2", *linked], Path(compiler).name)
    return program


def _count(valgrind: str, program: Path, operation: str, function: str) -> int:
    toggle = [f"--toggle-collect={function}", "--callgrind-out-file=/dev/null"]
    told = succeed([valgrind, "--tool=callgrind", *toggle, str(program), operation], "valgrind").stderr
    if (found := re.search(r"Collected : (\d+)", told)) is None or int(found[1]) == 0:
        raise MissingError(f"valgrind counted nothing in {function}")
    return int(found[1])
