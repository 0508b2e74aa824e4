"""Turns every error that a verb can meet into a message, an exit code and the next step: the one place that does."""

import errno
import traceback
from typing import Final

from aws_errors.service_error import ServiceError, ServiceKind
from producer import errors as producing
from results_consumer import errors as reading
from sealbatch.config import NO_FILE, ConfigError
from sealbatch.errors import InputFileError, JobStalled, OptionError, ReleaseRefused, WaitTimeout
from sealbatch.exits import Exit, Stop
from sealbatch.extras import NotInstalledError
from sealbatch.fleet.allocator import AllocatorError
from sealbatch.fleet.nitro import NitroError
from sealbatch.image import ImageError
from sealbatch.tickets import NoSuchJobError
from wire.errors import TicketError

_SERVICE: Final = {
    ServiceKind.CREDENTIALS: Exit.NO_PERMISSION,
    ServiceKind.CLOCK: Exit.CONFIGURATION,
    ServiceKind.DENIED: Exit.NO_PERMISSION,
    ServiceKind.MISSING: Exit.CONFIGURATION,
    ServiceKind.UNAVAILABLE: Exit.TEMPORARY,
    ServiceKind.INVALID: Exit.INTEGRITY,
}
_SINK: Final = {
    reading.SinkCode.EXISTS: Exit.USAGE,
    reading.SinkCode.NOT_A_FILE: Exit.USAGE,
    reading.SinkCode.NO_FOLDER: Exit.USAGE,
    reading.SinkCode.DENIED: Exit.NO_PERMISSION,
    reading.SinkCode.FULL: Exit.TEMPORARY,
    reading.SinkCode.FAILED: Exit.TEMPORARY,
    reading.SinkCode.BUSY: Exit.TEMPORARY,
    reading.SinkCode.OTHER: Exit.USAGE,
    reading.SinkCode.NOT_OURS: Exit.NO_PERMISSION,
}
_SAID: Final[dict[type[Exception], Exit]] = {
    ConfigError: Exit.CONFIGURATION,
    TicketError: Exit.USAGE,
    NoSuchJobError: Exit.NO_SUCH_JOB,
    ReleaseRefused: Exit.INTEGRITY,
    ImageError: Exit.INPUT_INVALID,
    NitroError: Exit.CONFIGURATION,
    AllocatorError: Exit.CONFIGURATION,
    WaitTimeout: Exit.TIMEOUT,
    JobStalled: Exit.NO_PERMISSION,
}
"""Errors whose text is all there is to say."""
_SYSTEM: Final[dict[type[OSError], Exit]] = {
    PermissionError: Exit.NO_PERMISSION,
    FileNotFoundError: Exit.USAGE,
    IsADirectoryError: Exit.USAGE,
    NotADirectoryError: Exit.USAGE,
    FileExistsError: Exit.USAGE,
}
"""What the system says of a file that was named; anything else may be gone the next time."""
_NO_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.ELOOP})
"""The same, where Python has no class for it."""
_NO_OPTIONS: Final = frozenset({"output", "questions", "ticket"})
"""Arguments of the API that the command takes without a name."""
_AFTER: Final = {
    Exit.TEMPORARY: "type the same again",
    Exit.NO_PERMISSION: "sealbatch doctor",
    Exit.CONFIGURATION: "sealbatch doctor",
    Exit.INPUT_INVALID: "correct it, and type the same again",
    Exit.INTEGRITY: "believe nothing of it until you know why; docs/reference/error-codes.md names each check",
    Exit.BUG: "report this line and what you typed, without the questions",
}
_NEXT: Final[dict[type[Exception], str]] = {
    NoSuchJobError: "sealbatch list",
    producing.InputInvalid: "correct these lines, or add --skip-invalid",
    reading.JobNotFinished: "sealbatch wait TICKET",
    NitroError: "sealbatch doctor --role bridge",
    AllocatorError: "sealbatch doctor --role bridge",
}
"""What to do after errors that are mended in one way whatever they say."""
_AFTER_SINK: Final = {
    reading.SinkCode.EXISTS: "add --force, or name another file",
    reading.SinkCode.FULL: "make room, and type the same again",
}


def explain(error: Exception) -> tuple[Exit, str]:
    """Exit code and message for what a verb raised."""
    text = str(error)
    for kind, code in _SAID.items():
        if isinstance(error, kind):
            return code, text
    match error:
        case Stop():
            return error.code, text
        case NotInstalledError():
            return Exit.CONFIGURATION, error.what
        case OptionError():
            return Exit.USAGE, error.why if error.option in _NO_OPTIONS else f"{_typed(error.option)}: {error.why}"
        case InputFileError():
            return Exit.NO_PERMISSION if error.denied else Exit.USAGE, text
        case ServiceError() | producing.ProducerError():
            return _producing(error)
        case reading.ReaderError():
            return _reading(error)
        case OSError():
            name = f"{error.filename}: " if error.filename else ""
            code = Exit.USAGE if error.errno in _NO_NAME else _SYSTEM.get(type(error), Exit.TEMPORARY)
            return code, f"{name}{error.strerror or type(error).__name__}"
        case _:
            return Exit.BUG, _bug(error)


def advice(error: Exception, typed: str) -> str:
    """What to do after an error: a command, or words; `typed` is the verb as it was typed."""
    match error:
        case Stop() if error.then:
            return error.then
        case ConfigError():
            return "sealbatch dev up" if str(error).startswith(NO_FILE) else "sealbatch doctor"
        case producing.SendIncomplete():
            return f"sealbatch sweep {error.ticket}"
        case NotInstalledError():
            return error.then
        case WaitTimeout():
            return f"sealbatch wait {error.ticket}"
        case reading.SinkError():
            return _AFTER_SINK.get(error.code, "")
        case _:
            for kind, words in _NEXT.items():
                if isinstance(error, kind):
                    return words
            code, _text = explain(error)
            return f"{typed} --help" if code is Exit.USAGE and typed else _AFTER.get(code, "")


def _typed(option: str) -> str:
    """An argument of the API as the command spells it."""
    return f"--{option.replace('_', '-')}"


def _producing(error: ServiceError | producing.ProducerError) -> tuple[Exit, str]:
    """Of the asker's side, or of AWS, whoever called it."""
    text = str(error)
    match error:
        case ServiceError():
            return _SERVICE[error.kind], text
        case producing.InputInvalid():
            return Exit.INPUT_INVALID, f"{text}; nothing was sent"
        case producing.KeyReused():
            return Exit.USAGE, f"{text}; nothing was sent"
        case producing.KeyRefused():
            return Exit.INTEGRITY, text
        case producing.SendIncomplete():
            return _SERVICE[error.cause.kind], f"{text}; the ticket is {error.ticket}"
        case _:
            return Exit.TEMPORARY, text


def _reading(error: reading.ReaderError) -> tuple[Exit, str]:
    text = str(error)
    match error:
        case reading.IntegrityError():
            return Exit.INTEGRITY, f"{text}; nothing was written"
        case reading.JobNotFinished():
            return Exit.TEMPORARY, f"{text}{_missing(error)}; nothing was written"
        case reading.SinkError():
            return _SINK[error.code], text
        case _:
            return Exit.BUG, _bug(error)


def _missing(error: reading.JobNotFinished) -> str:
    more = f" and {len(error.missing) - 1} more ranges" if len(error.missing) > 1 else ""
    return f" ({error.missing[0]}{more})"


def _bug(error: Exception) -> str:
    """Class and place of an unforeseen error: its text may hold content."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
    return f"this is a bug in sealbatch: {type(error).__name__}{where}"
