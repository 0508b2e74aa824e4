"""The stub enclave as the hypervisor shows it in debug mode, its first registers zeros: `python -m debug_enclave`."""

import sys
from unittest import mock

from stub_enclave import COMMAND

from devstack import enclave

if __name__ == "__main__":
    with mock.patch.object(enclave, "measure", return_value={index: bytes(48) for index in range(3)}):
        sys.exit(enclave.main(COMMAND))
