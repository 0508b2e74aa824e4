"""The instruction peaks of one core, measured by a small C program that is compiled on the spot."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.environments import MissingError
from bench.pinned import cores

SOURCE: Final = Path(__file__).resolve().with_suffix(".c")


def measure_peaks(folder: Path) -> dict[str, float]:
    """Giga-operations a second by kind of instruction, for one core; a multiply with its add counts as two.

    Raises:
        MissingError: there is no C compiler, or no kernel for this processor.
    """
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MissingError("no C compiler to build the measuring program with")
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "peak"
    built = subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE)], check=False, capture_output=True)
    if built.returncode:
        raise MissingError("the measuring program does not compile here")
    pin = ["taskset", "--cpu-list", str(cores(1)[0])]
    printed = subprocess.run([*pin, str(program)], check=True, capture_output=True, text=True).stdout
    peaks: dict[str, float] = json.loads(printed)
    if not peaks:
        raise MissingError("no measuring kernel for this processor")
    return peaks


def best(peaks: Mapping[str, float], kind: str) -> float:
    """The peak of `kind` (`int8` or `fp32`) with sums that cannot overflow, by the best instructions there are."""
    return max(rate for name, rate in peaks.items() if name.startswith(kind) and not name.endswith("16bit_sums"))
