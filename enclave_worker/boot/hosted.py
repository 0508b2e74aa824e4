"""The worker's start where another init has booted: AWS's, in an image that `nitro-cli build-enclave` made.

That init has mounted, loaded `nsm.ko` and sent its heartbeat; it knows nothing of entropy, and runs everything as root.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from enclave_worker.boot import system
from enclave_worker.boot.init import MODEL_MOUNT, become_worker, prepare_device, say
from enclave_worker.nsm import NsmError


def main() -> NoReturn:
    """Do what is left to do as root, then become the worker; end with code 69 if that fails."""
    try:
        prepare_device()
        if not Path("/model/manifest.json").exists():
            system.mount(*MODEL_MOUNT)
    except (NsmError, OSError) as error:
        say(f"cannot start the worker: {type(error).__name__}: {error}")
        sys.exit(os.EX_UNAVAILABLE)
    become_worker()


if __name__ == "__main__":
    main()
