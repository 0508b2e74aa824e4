"""A call to AWS that failed for good, by what one can do about it."""

import enum
from typing import Final

from wire.errors import SealbatchError


class ServiceKind(enum.StrEnum):
    """What stands between us and AWS."""

    CREDENTIALS = "credentials"
    CLOCK = "clock"
    DENIED = "denied"
    MISSING = "missing"
    UNAVAILABLE = "unavailable"
    INVALID = "invalid"


_ADVICE: Final = {
    ServiceKind.CREDENTIALS: "the AWS credentials are missing, wrong or expired; renew them and try again",
    ServiceKind.CLOCK: "this machine's clock is wrong, so AWS refuses what it signs; set the clock",
    ServiceKind.DENIED: "access was denied: these credentials are not allowed to; ask who administers role and policy",
    ServiceKind.MISSING: "it does not exist, or is disabled, in this account and region; check the configuration",
    ServiceKind.UNAVAILABLE: "the service cannot be reached or is busy; try again later",
    ServiceKind.INVALID: "the reply is not understood or must not be trusted; check endpoint, region and configuration",
}


class ServiceError(SealbatchError):
    """AWS did not do what was asked, or answered what cannot be.

    `operation` is the API's name, `resource` the bucket, queue or key as configured, `code` the service's error code,
    or the name of the client's own error, or empty. `outcome` says what that means for the job.
    """

    def __init__(
        self, kind: ServiceKind, service: str, operation: str, resource: str, *, code: str = "", outcome: str = ""
    ) -> None:
        detail = f" ({code})" if code else ""
        tail = f"; {outcome}" if outcome else ""
        super().__init__(f"{service} {operation} on {resource}: {_ADVICE[kind]}{detail}{tail}")
        self.kind = kind
        self.service = service
        self.operation = operation
        self.resource = resource
        self.code = code

    def meaning(self, outcome: str) -> "ServiceError":
        """The same failure with its meaning for the job."""
        return ServiceError(self.kind, self.service, self.operation, self.resource, code=self.code, outcome=outcome)
