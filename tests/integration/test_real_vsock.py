"""The bridge's and the enclave's own stream code over real AF_VSOCK: loopback, in a kernel of its own if need be."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from places import ANY, LOOPBACK, VSOCK

from devstack.machines import uml
from devstack.machines.debian import MIRROR, MissingPartError

PATIENCE = 240.0
ADVICE = f"""no AF_VSOCK loopback to test over: {{}}
Either load this machine's own, which the test then uses (as root: modprobe vsock_loopback),
or name an archive of Debian's that has user-mode-linux: make test {MIRROR}=URL"""


def loopback_here() -> bool:
    """Whether this machine's kernel carries vsock on CID 1; binding connects to nobody."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
            sock.bind((LOOPBACK, ANY))
    except OSError:
        return False
    return True


def run(command: list[str], environment: dict[str, str], shared: Path) -> tuple[int, str]:
    """Exit code and output of a command under a kernel with vsock loopback: this one, or user-mode Linux."""
    if loopback_here():
        done = subprocess.run(
            command, env={**os.environ, **environment}, check=False, timeout=PATIENCE, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr
    try:
        # The checkout cannot be written to in there.
        guest = uml.run(command, shared, PATIENCE, environment | {"HYPOTHESIS_STORAGE_DIRECTORY": "/run/hypothesis"})
    except MissingPartError as error:
        pytest.fail(ADVICE.format(error), pytrace=False)
    return guest.status, guest.output


def test_the_transports_tests_pass_over_af_vsock(tmp_path: Path) -> None:
    """All of `tests/transports` once more; where AF_VSOCK cannot be had this fails and says what is missing."""
    command = [sys.executable, "-m", "pytest", "-v", "tests/transports"]
    status, output = run(command, {VSOCK: "vsock"}, tmp_path)
    print(output)  # noqa: T201 - what `make vsock-test` shows
    assert status == 0, output
    assert "transport: vsock://1:6000 is AF_VSOCK" in output
    assert "test_an_enclave_that_reboots_in_the_middle_costs_no_answer PASSED" in output
