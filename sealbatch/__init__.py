"""The face of Sealbatch: the `sealbatch` command, thin bodies over the four programs.

Data goes to standard output, talk to standard error. Nothing here seals, opens or decides; it reads options and
configuration, calls `producer`, `results_consumer`, `vsock_bridge` or `enclave_worker`, and shows what comes back.
"""

from importlib.metadata import version

__version__ = version("sealbatch")
