"""Exit codes, the same for every verb; the README has the table for people."""

from enum import IntEnum


class Exit(IntEnum):
    """What the caller of the command learns without reading a word."""

    OK = 0
    BUG = 1
    USAGE = 2
    PARTIAL = 3
    """Finished, and some records failed or were cut."""
    FAILED = 4
    """Finished, and no record succeeded."""
    EXPIRED = 5
    CANCELED = 6
    NO_SUCH_JOB = 7
    INPUT_INVALID = 8
    INTEGRITY = 9
    TEMPORARY = 75
    NO_PERMISSION = 77
    CONFIGURATION = 78
    TIMEOUT = 124
    INTERRUPTED = 130
