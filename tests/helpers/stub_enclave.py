"""The development stack's enclave with the stub engine in its engine process: `python -m stub_enclave --dev ...`."""

import os
import shlex
import sys

from devstack.enclave import main

COMMAND = (sys.executable, "-m", "stub_engine")


def run() -> int:
    """Serve until SIGTERM; `STUB_ENGINE` may name another command for the engine process."""
    named = os.environ.get("STUB_ENGINE")
    return main(shlex.split(named) if named else COMMAND)


if __name__ == "__main__":
    sys.exit(run())
