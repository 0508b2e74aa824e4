"""What a check found."""

import enum
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from aws_errors.mapped import error_code


class Status(enum.StrEnum):
    """An error stops work or lets somebody in; a warning is worth a look; what could not be looked at is skipped."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result; `mend` is what to do about it, empty where all is well."""

    check: str
    status: Status
    found: str
    mend: str = ""

    def as_row(self) -> dict[str, str]:
        """For a table, or a line of JSON."""
        return {"check": self.check, "status": str(self.status), "found": self.found, "mend": self.mend}


def judged(check: str, holds: bool, found: str, mend: str, status: Status = Status.ERROR) -> Finding:
    """`found` as well if it `holds`, else with `status` and how to mend it."""
    return Finding(check, Status.OK, found) if holds else Finding(check, status, found, mend)


def not_seen(check: str, error: BotoCoreError | ClientError, right: str) -> Finding:
    """AWS did not let us look, or did not answer; `right` is the permission that looking takes."""
    code = error_code(error) if isinstance(error, ClientError) else type(error).__name__
    if "AccessDenied" in code or code == "403":
        return Finding(
            check, Status.SKIPPED, f"this role may not look ({code})", f"run doctor with a role with {right}"
        )
    if "NonExistent" in code or code in {"404", "NoSuchBucket", "NotFoundException", "QueueDoesNotExist"}:
        return Finding(check, Status.ERROR, f"does not exist ({code})", "correct its name in the configuration")
    return Finding(check, Status.ERROR, f"AWS did not answer: {code}", "check network, region and endpoint; try again")
