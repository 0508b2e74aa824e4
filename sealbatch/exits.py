"""How a verb ends: its exit code, the same for every verb, and how it ends early.

What stands under each code is its line in docs/reference/exit-codes.md.
"""

from enum import IntEnum


class Exit(IntEnum):
    """What the caller of the command learns without reading a word."""

    OK = 0
    """Everything succeeded."""
    BUG = 1
    """A bug of ours, named by its place; nothing of yours is in the message. Please report it."""
    USAGE = 2
    """Wrong usage: an option, a ticket or a file's name; nothing was done."""
    PARTIAL = 3
    """Finished, and some records failed or were cut."""
    FAILED = 4
    """Finished, and no record succeeded."""
    EXPIRED = 5
    """Finished, and every record expired."""
    CANCELED = 6
    """Finished, and every record was canceled."""
    NO_SUCH_JOB = 7
    """No such job, among this user's tickets or in the bucket."""
    INPUT_INVALID = 8
    """The input is invalid; every fault is shown with its line, and nothing was sent."""
    INTEGRITY = 9
    """An integrity check failed; nothing was written, or what was verified before stays."""
    TEMPORARY = 75
    """A service, the disk or an enclave is not ready; the same command works later."""
    NO_PERMISSION = 77
    """Credentials, a policy or a file's mode does not allow it."""
    CONFIGURATION = 78
    """A setting, an extra or a clock is missing or wrong; the message names it."""
    TIMEOUT = 124
    """`--timeout` reached; the job goes on."""
    INTERRUPTED = 130
    """Interrupted; the command to go on with is printed."""


class Stop(Exception):  # noqa: N818 - not always an error
    """Ends a verb with an exit code, after what there is to say, and `then` what to do next: a command, or words."""

    def __init__(self, code: Exit, text: str = "", then: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.then = then
