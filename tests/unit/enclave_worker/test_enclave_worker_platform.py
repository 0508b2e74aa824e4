"""The enclave serves only where random numbers and time come from the hypervisor."""

import subprocess
import sys
from pathlib import Path

import pytest

from enclave_worker.platform import CLOCK, RANDOM, PlatformError, check_platform


def sysfs(folder: Path, random: str | None = "nsm-hwrng", clock: str | None = "kvm-clock") -> Path:
    """A kernel that says this."""
    for path, value in ((RANDOM, random), (CLOCK, clock)):
        if value is not None:
            (folder / path).parent.mkdir(parents=True)
            (folder / path).write_text(f"{value}\n")
    return folder


@pytest.mark.parametrize("clock", ["kvm-clock", "arch_sys_counter"])
def test_an_enclaves_kernel_passes(tmp_path: Path, clock: str) -> None:
    """On either architecture."""
    check_platform(sysfs(tmp_path, clock=clock))


@pytest.mark.parametrize(
    ("random", "clock", "words"),
    [
        ("virtio_rng.0", "kvm-clock", "the random source is virtio_rng.0 and not nsm-hwrng"),
        (None, "kvm-clock", "the random source is unknown"),
        ("", "kvm-clock", "the random source is unknown"),
        ("nsm-hwrng", "tsc", "the clock source is tsc and not arch_sys_counter or kvm-clock"),
        ("nsm-hwrng", None, "the clock source is unknown"),
    ],
)
def test_another_source_is_refused_in_one_line(
    tmp_path: Path, random: str | None, clock: str | None, words: str
) -> None:
    """What is missing counts as wrong."""
    with pytest.raises(PlatformError, match=words):
        check_platform(sysfs(tmp_path, random, clock))


def test_the_real_program_does_not_start_on_this_machine() -> None:
    """No Nitro Enclave: one line, exit code 69, and no model was loaded."""
    done = subprocess.run([sys.executable, "-m", "enclave_worker"], capture_output=True, check=False, timeout=60)
    assert done.returncode == 69
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("enclave_worker cannot start: ")
