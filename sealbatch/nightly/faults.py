"""What a failed step means for its file: try again later, or never."""

import traceback
from dataclasses import dataclass

from producer import errors as producing
from results_consumer import errors as reading
from sealbatch.config import ConfigError


class NightError(Exception):
    """A step on a file failed for a reason of the night's own: `code`, and whether trying again cannot help."""

    def __init__(self, code: str, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.final = final


class FileChangesError(NightError):
    """The file that is being read is not the one that was counted: somebody still writes to it."""

    def __init__(self) -> None:
        super().__init__("file_changes", "the file is still being written")


class FileChangedError(NightError):
    """A range of the file is not what it was when the file was taken."""

    def __init__(self) -> None:
        super().__init__("file_changed", "the file was changed after it had been taken", final=True)


class FileGoneError(NightError):
    """The file that was taken out of the inbox is not where it was put."""

    def __init__(self) -> None:
        super().__init__("file_gone", "the file was removed from where it had been taken to", final=True)


class RangeFailsError(NightError):
    """A range of a large file will never get on."""

    def __init__(self, code: str) -> None:
        super().__init__(code, f"a range of the file does not get on: {code.replace('_', ' ')}", final=True)


class StalledError(NightError):
    """The bridge says that the job cannot move until somebody changes something."""

    def __init__(self, code: str) -> None:
        super().__init__(f"stalled_{code}", f"the bridge says that the job cannot move: {code.replace('_', ' ')}")


@dataclass(frozen=True, slots=True)
class Fault:
    """`code` for machines, `text` for people, neither with content; `final` if trying again cannot help."""

    code: str
    text: str
    final: bool = False


def fault_of(error: Exception) -> Fault:
    """What `error` means."""
    text = str(error)
    match error:
        case NightError():
            return Fault(error.code, text, final=error.final)
        case reading.IntegrityError():
            return Fault(f"integrity_{error.code}", text, final=True)
        case producing.SealedFileError():
            return Fault("file_damaged", text, final=True)
        case producing.ServiceError() | reading.ServiceError():
            return Fault(f"{error.service.lower()}_{error.kind.value}", text)
        case producing.SendIncomplete():
            return Fault(f"{error.cause.service.lower()}_{error.cause.kind.value}", text)
        case producing.SpoolError() | reading.SinkError() | reading.JobNotFinished():
            return Fault(_code(error), text)
        case ConfigError():
            return Fault("configuration", text)
        case OSError():
            return Fault("file_system", error.strerror or type(error).__name__)
        case _:
            # Its text may hold content.
            last = traceback.extract_tb(error.__traceback__)[-1:]
            where = f" at {last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
            return Fault("bug", f"this is a bug in sealbatch: {type(error).__name__}{where}")


def _code(error: producing.SpoolError | reading.SinkError | reading.JobNotFinished) -> str:
    match error:
        case producing.SpoolError():
            return "spool_full" if error.full else "spool_failed"
        case reading.SinkError():
            return f"target_{error.code.value}"
        case _:
            return "not_finished"
