"""Where errors of AWS and of its client become ours; texts of AWS are never passed on, because they quote requests."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from aws_errors.service_error import ServiceError, ServiceKind

_CODE: Final = re.compile(r"[A-Za-z0-9.:_-]{1,64}")

_KINDS: Final = {
    ServiceKind.CREDENTIALS: frozenset(
        {
            "AuthFailure",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "UnrecognizedClientException",
        }
    ),
    ServiceKind.CLOCK: frozenset({"RequestTimeTooSkewed"}),
    ServiceKind.DENIED: frozenset({"AccessDenied", "AccessDeniedException", "AccountProblem", "AllAccessDisabled"}),
    ServiceKind.MISSING: frozenset(
        {
            "AWS.SimpleQueueService.NonExistentQueue",
            "AuthorizationHeaderMalformed",  # S3's answer when the bucket is in another region
            "DisabledException",
            "KMSInvalidStateException",
            "NoSuchBucket",
            "NoSuchKey",
            "NotFoundException",
            "PermanentRedirect",
            "QueueDoesNotExist",
        }
    ),
    ServiceKind.UNAVAILABLE: frozenset(
        {
            "ConditionalRequestConflict",
            "DependencyTimeoutException",
            "InternalError",
            "InternalFailure",
            "KMSInternalException",
            "KeyUnavailableException",
            "LimitExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServiceUnavailable",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        }
    ),
}
_CREDENTIAL_ERRORS: Final = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.ProfileNotFound,
    botocore.NoAuthTokenError,
    botocore.TokenRetrievalError,
    botocore.SSOError,
    botocore.LoginError,
)


def error_code(error: botocore.ClientError) -> str:
    """The service's code for the failure."""
    return clean_code(error.response.get("Error", {}).get("Code"))


def clean_code(code: object) -> str:
    """`code` if it looks like an error code; anything else might be text that quotes the request."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


@contextmanager
def mapped(service: str, operation: str, resource: str) -> Iterator[None]:
    """Run one AWS call; every failure of botocore's comes out as a `ServiceError` that names what was tried.

    No cause is chained: botocore's texts quote what a server sent.

    Raises:
        ServiceError: the call failed after botocore's own retries.
    """
    try:
        yield
    except botocore.ClientError as error:
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        kind = _kind(code, status)
    except _CREDENTIAL_ERRORS as error:
        kind, code = ServiceKind.CREDENTIALS, type(error).__name__
    except (botocore.ParamValidationError, ResponseParserError) as error:
        kind, code = ServiceKind.INVALID, type(error).__name__
    except (botocore.BotoCoreError, OSError) as error:
        # A body is read straight from a socket, hence OSError.
        kind, code = ServiceKind.UNAVAILABLE, type(error).__name__
    else:
        return
    raise ServiceError(kind, service, operation, resource, code=code) from None


def _kind(code: str, status: int) -> ServiceKind:
    for kind, codes in _KINDS.items():
        if code in codes:
            return kind
    # Codes that we do not know: HTTP says enough.
    by_status = {401: ServiceKind.CREDENTIALS, 403: ServiceKind.DENIED, 404: ServiceKind.MISSING}
    busy = status >= 500 or status == 429
    return by_status.get(status, ServiceKind.UNAVAILABLE if busy else ServiceKind.INVALID)
