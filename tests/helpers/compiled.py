"""Whether the engine's compiled operations must be there: wherever there is a compiler for them."""

import ctypes
import platform
import shutil

import pytest

from enclave_worker.bloom.native import library


def compiled() -> ctypes.CDLL:
    """The library; a test that needs it is skipped only on machines that cannot have it, and fails on others."""
    found = library()
    if found is not None:
        return found
    if platform.machine() == "x86_64" and (shutil.which("g++") or shutil.which("clang++")):
        pytest.fail("enclave_worker/native/libbloom.so is missing or unusable: run `make clean` and install again")
    pytest.skip("no C++ compiler for x86-64 here: the engine computes with plain torch")
