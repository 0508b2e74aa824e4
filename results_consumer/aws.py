"""The one place where errors of AWS and its client become ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from results_consumer.errors import Call, ServiceError, ServiceKind

_CODE: Final = re.compile(r"[A-Za-z0-9.]{1,64}")

_KINDS: Final = {
    ServiceKind.CREDENTIALS: frozenset(
        {
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
            "AuthorizationHeaderMalformed",  # S3's answer when the bucket is in another region
            "DisabledException",
            "KMSInvalidStateException",
            "NoSuchBucket",
            "NotFoundException",
            "PermanentRedirect",
        }
    ),
    ServiceKind.UNAVAILABLE: frozenset(
        {
            "ConditionalRequestConflict",
            "DependencyTimeoutException",
            "KMSInternalException",
            "KeyUnavailableException",
            "LimitExceededException",
            "RequestLimitExceeded",
            "RequestTimeout",
            "RequestTimeoutException",
            "SlowDown",
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
    """AWS's error code; "Unknown" if the reply has none that looks like one."""
    code = error.response.get("Error", {}).get("Code", "")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "Unknown"


@contextmanager
def mapped(call: Call) -> Iterator[None]:
    """Turn what botocore raises inside into `ServiceError`.

    No cause is chained: botocore's texts quote what a server sent.
    """
    try:
        yield
    except botocore.ClientError as error:
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise ServiceError(_kind(code, status), call, code) from None
    except _CREDENTIAL_ERRORS as error:
        raise ServiceError(ServiceKind.CREDENTIALS, call, type(error).__name__) from None
    except (botocore.ParamValidationError, ResponseParserError) as error:
        raise ServiceError(ServiceKind.INVALID, call, type(error).__name__) from None
    except (botocore.BotoCoreError, OSError) as error:
        # A body is read straight from a socket, hence OSError.
        raise ServiceError(ServiceKind.UNAVAILABLE, call, type(error).__name__) from None


def _kind(code: str, status: int) -> ServiceKind:
    for kind, codes in _KINDS.items():
        if code in codes:
            return kind
    # Codes that we do not know: HTTP says enough.
    by_status = {401: ServiceKind.CREDENTIALS, 403: ServiceKind.DENIED, 404: ServiceKind.MISSING}
    busy = status >= 500 or status == 429
    return by_status.get(status, ServiceKind.UNAVAILABLE if busy else ServiceKind.INVALID)
