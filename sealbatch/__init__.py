"""The face of Sealbatch: the `sealbatch` command and the Python API, thin bodies over the four programs.

Data goes to standard output, talk to standard error. Nothing here seals, opens or decides; it reads options and
configuration, calls `producer`, `results_consumer`, `vsock_bridge` or `enclave_worker`, and shows what comes back.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from producer.errors import InputInvalid as InputInvalid
    from results_consumer.errors import IntegrityError as IntegrityError
    from results_consumer.errors import JobNotFinished as JobNotFinished
    from results_consumer.trust import Release as Release
    from sealbatch.aio import AsyncClient as AsyncClient
    from sealbatch.aio import AsyncJob as AsyncJob
    from sealbatch.client import Client as Client
    from sealbatch.config import ConfigError as ConfigError
    from sealbatch.errors import JobStalled as JobStalled
    from sealbatch.errors import OptionError as OptionError
    from sealbatch.errors import WaitTimeout as WaitTimeout
    from sealbatch.job import Job as Job
    from sealbatch.progress import Progress as Progress
    from sealbatch.questions import Questions as Questions
    from sealbatch.releases import read_release as read_release
    from sealbatch.result import Result as Result
    from sealbatch.validation import validate as validate
    from sealbatch.verification import verify as verify
    from wire.errors import SealbatchError as SealbatchError

    __version__: str

_HOMES: Final = {
    "AsyncClient": "sealbatch.aio",
    "AsyncJob": "sealbatch.aio",
    "Client": "sealbatch.client",
    "ConfigError": "sealbatch.config",
    "InputInvalid": "producer.errors",
    "IntegrityError": "results_consumer.errors",
    "Job": "sealbatch.job",
    "JobNotFinished": "results_consumer.errors",
    "JobStalled": "sealbatch.errors",
    "OptionError": "sealbatch.errors",
    "Progress": "sealbatch.progress",
    "Questions": "sealbatch.questions",
    "Release": "results_consumer.trust",
    "Result": "sealbatch.result",
    "SealbatchError": "wire.errors",
    "WaitTimeout": "sealbatch.errors",
    "read_release": "sealbatch.releases",
    "validate": "sealbatch.validation",
    "verify": "sealbatch.verification",
}
"""Where each name is defined. It is imported when it is asked for: whoever needs one of them pays for no other."""

__all__ = sorted(_HOMES)  # noqa: PLE0605 - a list of texts


def __getattr__(name: str) -> Any:
    """A name of the API, or the version, looked up when it is asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("sealbatch")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        absent = str(error.name).partition(".")[0]
        raise ImportError(f"{absent} is not installed: pip install 'sealbatch[asker,reader]'") from error


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
