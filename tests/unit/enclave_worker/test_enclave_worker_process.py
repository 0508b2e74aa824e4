"""What the enclave's processes do before they serve."""

import subprocess
import sys

import pytest

PROGRAM = """
from enclave_worker.process import bound_heap
from enclave_worker.vitals import resident
import os
if {bound}: bound_heap()
before = resident(os.getpid())
buffers, results = [], []
for _ in range(800):
    buffers.append(b"x" * int("100000"))
    results.append(b"x" * int("1000"))
buffers.clear()
print((resident(os.getpid()) - before) // 2**20)
"""


@pytest.mark.parametrize(("bound", "kept"), [(True, False), (False, True)])
def test_the_enclave_gives_the_memory_of_chunks_back(bound: bool, kept: bool) -> None:
    """80 MB of buffers between small results: freed, they stay in the default heap, which made a soak creep up."""
    said = subprocess.run([sys.executable, "-c", PROGRAM.format(bound=bound)], capture_output=True, check=True).stdout
    assert (int(said) > 20) is kept
