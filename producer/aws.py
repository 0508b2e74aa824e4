"""The one place where failures of AWS calls become `ServiceError`; texts of AWS are never passed on."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore import exceptions

from producer.errors import ServiceError, ServiceKind

_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "AuthFailure",
    }
)
_CLOCK: Final = frozenset({"RequestTimeTooSkewed"})
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AccountProblem"})
_MISSING: Final = frozenset(
    {
        "NoSuchBucket",
        "NoSuchKey",
        "NotFoundException",
        "DisabledException",
        "KMSInvalidStateException",
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        "PermanentRedirect",
    }
)
_UNAVAILABLE: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "LimitExceededException",
        "SlowDown",
        "InternalError",
        "InternalFailure",
        "ServiceUnavailable",
        "RequestTimeout",
        "KMSInternalException",
        "DependencyTimeoutException",
        "KeyUnavailableException",
        "ConditionalRequestConflict",
    }
)
_NO_CREDENTIALS: Final = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.SSOError,
    exceptions.ProfileNotFound,
)
_CODE: Final = re.compile(r"[A-Za-z0-9.:_-]{1,64}")


@contextmanager
def mapped(service: str, operation: str, resource: str) -> Iterator[None]:
    """Run one AWS call; every failure of botocore's comes out as a `ServiceError` that names what was tried.

    Raises:
        ServiceError: the call failed after botocore's own retries.
    """
    try:
        yield
    except exceptions.ClientError as error:
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        # No cause is chained: AWS quotes requests in its texts.
        raise ServiceError(_kind(code, status), service, operation, resource, code=code) from None
    except _NO_CREDENTIALS:
        raise ServiceError(ServiceKind.CREDENTIALS, service, operation, resource) from None
    except exceptions.ParamValidationError:
        raise ServiceError(ServiceKind.INVALID, service, operation, resource, code="ParamValidation") from None
    except exceptions.BotoCoreError as error:
        name = type(error).__name__
        raise ServiceError(ServiceKind.UNAVAILABLE, service, operation, resource, code=name) from None


def error_code(error: exceptions.ClientError) -> str:
    """The service's code for the failure."""
    return clean_code(error.response.get("Error", {}).get("Code"))


def clean_code(code: object) -> str:
    """`code` if it looks like an error code; anything else might be text that quotes the request."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _kind(code: str, status: int) -> ServiceKind:
    if code in _CREDENTIALS:
        return ServiceKind.CREDENTIALS
    if code in _CLOCK:
        return ServiceKind.CLOCK
    if code in _DENIED:
        return ServiceKind.DENIED
    if code in _MISSING:
        return ServiceKind.MISSING
    if code in _UNAVAILABLE or status >= 500:
        return ServiceKind.UNAVAILABLE
    by_status = {401: ServiceKind.CREDENTIALS, 403: ServiceKind.DENIED, 404: ServiceKind.MISSING}
    return by_status.get(status, ServiceKind.UNAVAILABLE if status == 429 else ServiceKind.INVALID)
