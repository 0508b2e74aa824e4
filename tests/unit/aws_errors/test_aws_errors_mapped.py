"""How failures of AWS come out."""

import pytest
from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from aws_errors.mapped import error_code, mapped
from aws_errors.service_error import ServiceError, ServiceKind

ARN = "arn:aws:kms:eu-central-1:123456789012:key/b"


def client_error(code: object, status: int = 400) -> botocore.ClientError:
    """A reply of AWS whose text quotes what nobody may see."""
    reply = {"Error": {"Code": code, "Message": "SECRET"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.ClientError(reply, "Decrypt")  # type: ignore[arg-type]


CASES = [
    (client_error("ExpiredTokenException"), ServiceKind.CREDENTIALS),
    (client_error("ExpiredToken"), ServiceKind.CREDENTIALS),
    (client_error("UnrecognizedClientException"), ServiceKind.CREDENTIALS),
    (client_error("SignatureDoesNotMatch", 403), ServiceKind.CREDENTIALS),
    # The asker's side told this one as a reply that must not be trusted, and the next as a service that is busy.
    (client_error("InvalidSignatureException"), ServiceKind.CREDENTIALS),
    (botocore.LoginRefreshRequired(), ServiceKind.CREDENTIALS),
    (client_error("RequestTimeTooSkewed", 403), ServiceKind.CLOCK),
    (client_error("SomethingNew", 401), ServiceKind.CREDENTIALS),
    (client_error("AccessDeniedException"), ServiceKind.DENIED),
    (client_error("AccessDenied", 403), ServiceKind.DENIED),
    (client_error("SomethingNew", 403), ServiceKind.DENIED),
    (client_error("NoSuchBucket", 404), ServiceKind.MISSING),
    (client_error("NotFoundException"), ServiceKind.MISSING),
    (client_error("DisabledException"), ServiceKind.MISSING),
    (client_error("KMSInvalidStateException"), ServiceKind.MISSING),
    (client_error("AuthorizationHeaderMalformed"), ServiceKind.MISSING),
    (client_error("QueueDoesNotExist"), ServiceKind.MISSING),
    (client_error("SomethingNew", 404), ServiceKind.MISSING),
    (client_error("ThrottlingException"), ServiceKind.UNAVAILABLE),
    (client_error("KMSInternalException"), ServiceKind.UNAVAILABLE),
    (client_error("SlowDown", 503), ServiceKind.UNAVAILABLE),
    (client_error("SomethingNew", 500), ServiceKind.UNAVAILABLE),
    (client_error("SomethingNew", 429), ServiceKind.UNAVAILABLE),
    (client_error("SomethingNew", 400), ServiceKind.INVALID),
    (botocore.NoCredentialsError(), ServiceKind.CREDENTIALS),
    (botocore.ProfileNotFound(profile="p"), ServiceKind.CREDENTIALS),
    (botocore.TokenRetrievalError(provider="p", error_msg="SECRET"), ServiceKind.CREDENTIALS),
    (botocore.UnauthorizedSSOTokenError(), ServiceKind.CREDENTIALS),
    (botocore.EndpointConnectionError(endpoint_url="http://x"), ServiceKind.UNAVAILABLE),
    (botocore.ReadTimeoutError(endpoint_url="http://x"), ServiceKind.UNAVAILABLE),
    (botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2), ServiceKind.UNAVAILABLE),
    (ConnectionResetError("SECRET"), ServiceKind.UNAVAILABLE),
    (botocore.ParamValidationError(report="SECRET"), ServiceKind.INVALID),
    (ResponseParserError("SECRET"), ServiceKind.INVALID),
]


@pytest.mark.parametrize(
    ("error", "kind"), CASES, ids=[f"{type(e).__name__}-{k}-{n}" for n, (e, k) in enumerate(CASES)]
)
def test_each_failure_has_its_kind_and_no_foreign_text(error: Exception, kind: ServiceKind) -> None:
    """Kind, service, operation and resource are told; the server's text and the cause are not."""
    with pytest.raises(ServiceError) as caught, mapped("KMS", "Decrypt", ARN):
        raise error
    told = caught.value
    assert (told.kind, told.service, told.operation, told.resource) == (kind, "KMS", "Decrypt", ARN)
    assert ARN in str(told)
    assert "SECRET" not in str(told)
    assert told.__cause__ is None
    assert told.__suppress_context__


def test_the_code_of_aws_is_told() -> None:
    """Whoever searches for the error finds AWS's own name for it."""
    with pytest.raises(ServiceError) as caught, mapped("KMS", "Decrypt", ARN):
        raise client_error("ThrottlingException")
    assert caught.value.code == "ThrottlingException"
    assert "ThrottlingException" in str(caught.value)


@pytest.mark.parametrize("code", ["two words", "x" * 65, "<b>", "", None, 7])
def test_a_code_that_does_not_look_like_one_is_not_told(code: object) -> None:
    """A hostile endpoint cannot put text into our message."""
    assert error_code(client_error(code)) == ""


def test_other_exceptions_pass() -> None:
    """A bug of ours stays what it is."""
    with pytest.raises(KeyError), mapped("KMS", "Decrypt", ARN):
        raise KeyError("x")
