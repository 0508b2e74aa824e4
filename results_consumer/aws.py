"""The one place where errors of AWS and its client become ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore import exceptions as botocore

from results_consumer.errors import Call, ServiceError, ServiceErrorKind

_CODE: Final = re.compile(r"[A-Za-z0-9.]{1,64}")

_CREDENTIALS: Final = frozenset(
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
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_DENIED: Final = frozenset({"403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "Forbidden"})
_MISSING: Final = frozenset(
    {
        "AuthorizationHeaderMalformed",  # S3's answer when the bucket is in another region
        "DisabledException",
        "InvalidBucketName",
        "KMSInvalidStateException",
        "NoSuchBucket",
        "NotFoundException",
        "PermanentRedirect",
    }
)
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
        raise ServiceError(_kind(code), call, code) from None
    except _CREDENTIAL_ERRORS as error:
        raise ServiceError(ServiceErrorKind.CREDENTIALS, call, type(error).__name__) from None
    except (botocore.BotoCoreError, OSError) as error:
        # A body is read straight from a socket, hence OSError.
        raise ServiceError(ServiceErrorKind.UNAVAILABLE, call, type(error).__name__) from None


def _kind(code: str) -> ServiceErrorKind:
    if code in _CREDENTIALS:
        return ServiceErrorKind.CREDENTIALS
    if code in _DENIED:
        return ServiceErrorKind.DENIED
    return ServiceErrorKind.MISSING if code in _MISSING else ServiceErrorKind.UNAVAILABLE
