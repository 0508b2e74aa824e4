"""The bridge's and the enclave's own stream code over real AF_VSOCK: loopback in a kernel that is a process."""

import sys
from pathlib import Path

from places import VSOCK

from devstack.machines import uml

PATIENCE = 240.0


def test_the_transports_tests_pass_over_af_vsock(tmp_path: Path) -> None:
    """All of `tests/transports` once more, under user-mode Linux; where that cannot be had this fails and says so."""
    command = [sys.executable, "-m", "pytest", "-v", "--basetemp=/run/pytest", "tests/transports"]
    environment = {VSOCK: "vsock", "HYPOTHESIS_STORAGE_DIRECTORY": "/run/hypothesis"}
    guest = uml.run(command, tmp_path, PATIENCE, environment)
    print(guest.output)  # noqa: T201 - what `make vsock-test` shows
    assert guest.status == 0, guest.output
    assert "transport: vsock://1:6000 is AF_VSOCK" in guest.output
    assert "test_an_enclave_that_reboots_in_the_middle_costs_no_answer PASSED" in guest.output
