"""Builds the engine's compiled operations when the package is installed; without a compiler it works without them.

A wheel with them is for one kind of machine and any Python 3: they know nothing of Python. `SEALBATCH_COMPILED=0` makes
the wheel without them, which is for all, and all that an asker or a reader needs.
"""

import os
import platform
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("enclave_worker", "native")
LIBRARY = "libbloom.so"
COMMON = ("-std=c++20", "-O3", "-fPIC", "-ffp-contract=off", "-fvisibility=default", "-mavx2", "-mfma", "-mf16c")
# One file may use instructions that are asked for when it runs; the others must not.
EXTRA = {"tiles_avx512.cpp": ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni")}


class NativeBuildHook(BuildHookInterface[Any]):
    """`enclave_worker/native/libbloom.so`, on x86-64 with g++ or clang++."""

    PLUGIN_NAME = "native"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and make the wheel one of this platform; or say why not and go on."""
        if os.environ.get("SEALBATCH_COMPILED") == "0":
            return
        compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
        if self.target_name != "wheel" or platform.machine() != "x86_64" or compiler is None:
            self.app.display_warning("no C++ compiler for x86-64: the engine will compute with plain torch, slower")
            return
        folder = Path(self.root) / SOURCES
        try:
            if version != "editable" or not up_to_date(folder):
                compile_library(compiler, folder)
        except (OSError, subprocess.CalledProcessError):
            self.app.display_warning("the C++ compiler failed: the engine will compute with plain torch, slower")
            return
        build_data["artifacts"].append(f"{SOURCES}/{LIBRARY}")
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().translate(str.maketrans('-.', '__'))}"
        build_data["pure_python"] = False


def up_to_date(folder: Path) -> bool:
    """Whether the library is younger than all that it is made from."""
    library = folder / LIBRARY
    sources = [*folder.glob("*.cpp"), *folder.glob("*.h"), Path(__file__)]
    return library.exists() and library.stat().st_mtime > max(source.stat().st_mtime for source in sources)


def compile_library(compiler: str, folder: Path) -> None:
    """The library beside its sources; it appears whole or not at all.

    Raises:
        CalledProcessError, OSError: the compiler cannot do it.
    """
    build = folder / "build"
    build.mkdir(exist_ok=True)

    def compile_one(source: Path) -> str:
        target = str(build / f"{source.stem}.o")
        flags = [*COMMON, *EXTRA.get(source.name, ())]
        subprocess.run([compiler, *flags, "-c", str(source), "-o", target], check=True)
        return target

    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, sorted(folder.glob("*.cpp"))))
        part = build / LIBRARY
        subprocess.run([compiler, "-shared", "-pthread", *objects, "-o", str(part)], check=True)
        part.replace(folder / LIBRARY)
    finally:
        shutil.rmtree(build, ignore_errors=True)
