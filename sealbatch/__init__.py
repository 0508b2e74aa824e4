"""The face of Sealbatch: the `sealbatch` command, thin bodies over the four programs.

Data goes to standard output, talk to standard error. Nothing here seals, opens or decides; it reads options and
configuration, calls `producer`, `results_consumer`, `vsock_bridge` or `enclave_worker`, and shows what comes back.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`__version__`, looked up when it is asked for: that takes longer than all else of a short command."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("sealbatch")
