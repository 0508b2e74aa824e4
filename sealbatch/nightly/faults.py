"""What a failed step means for its file: try again later, or never."""

import traceback
from dataclasses import dataclass
from typing import Final

from aws_errors.service_error import ServiceError
from producer import errors as producing
from results_consumer import errors as reading
from sealbatch.config import ConfigError


@dataclass(frozen=True, slots=True)
class Fault:
    """`code` for machines, `text` for people, neither with content; `final` if trying again cannot help."""

    code: str
    text: str
    final: bool = False


FILE_CHANGES: Final = Fault("file_changes", "the file is still being written")
"""What was read is not what was counted."""
FILE_CHANGED: Final = Fault("file_changed", "the file was changed after it had been taken", final=True)
FILE_GONE: Final = Fault("file_gone", "the file was removed from where it had been taken to", final=True)


def range_fails(code: str) -> Fault:
    """A range of a large file will never get on."""
    return Fault(code, f"a range of the file does not get on: {code.replace('_', ' ')}", final=True)


def stalled(code: str) -> Fault:
    """The job waits until somebody changes something."""
    return Fault(f"stalled_{code}", f"the bridge says that the job cannot move: {code.replace('_', ' ')}")


class NightError(Exception):
    """A step on a file failed for a reason of the night's own, its `fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


def fault_of(error: Exception) -> Fault:
    """What `error` means."""
    text = str(error)
    match error:
        case NightError():
            return error.fault
        case reading.IntegrityError():
            return Fault(f"integrity_{error.code}", text, final=True)
        case producing.SealedFileError():
            return Fault("file_damaged", text, final=True)
        case ServiceError() | producing.SendIncomplete():
            call = error.cause if isinstance(error, producing.SendIncomplete) else error
            return Fault(f"{call.service.lower()}_{call.kind.value}", text)
        case producing.SpoolError():
            return Fault("spool_full" if error.full else "spool_failed", text)
        case reading.SinkError():
            return Fault(f"target_{error.code.value}", text)
        case reading.JobNotFinished():
            return Fault("not_finished", text)
        case ConfigError():
            return Fault("configuration", text)
        case OSError():
            return Fault("file_system", error.strerror or type(error).__name__)
        case _:
            return Fault("bug", f"this is a bug in sealbatch: {type(error).__name__}{_place(error)}")


def _place(error: Exception) -> str:
    """Where it was raised: of a bug nothing more is told, for its text may hold content."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return f" at {last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
