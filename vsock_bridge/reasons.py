"""What a log line may say about an error of AWS: its code, never its text, which may quote; and what to do about it."""

from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from aws_errors.mapped import error_code
from wire.messages import RefusalCode


def code(error: ClientError) -> str:
    """The error's code, or `unknown` when what stands there is none."""
    return error_code(error) or "unknown"


def reason(error: ClientError | BotoCoreError) -> str:
    """The service's code, or the kind of trouble on the way to it."""
    return code(error) if isinstance(error, ClientError) else type(error).__name__


def advice(error: ClientError | BotoCoreError) -> str:
    """What to do about a call to S3 or SQS that failed after all retries."""
    return _ADVICE.get(reason(error), "AWS or the way to it; it is tried again by itself")


def unwrap_advice(why: str) -> str:
    """What to do about a key that KMS did not give, for the reason that the courier logs."""
    return _UNWRAP.get(why) or _ADVICE.get(why, "KMS or the way to it; it is tried again by itself")


_RIGHT: Final = "the bridge's role may not do this; compare it with deploy/template.yaml"
_NAME: Final = "there is none of that name in this account and region; correct bucket or queue_url"
_LOGIN: Final = "this machine has no valid credentials; renew its role or profile"
_DISABLED: Final = "the key is disabled or to be deleted; its administrator can undo it"
_ADVICE: Final = {
    "AccessDenied": _RIGHT,
    "AccessDeniedException": _RIGHT,
    "NoSuchBucket": _NAME,
    "AWS.SimpleQueueService.NonExistentQueue": _NAME,
    "QueueDoesNotExist": _NAME,
    "ExpiredToken": _LOGIN,
    "ExpiredTokenException": _LOGIN,
    "InvalidAccessKeyId": _LOGIN,
    "InvalidClientTokenId": _LOGIN,
    "NoCredentialsError": _LOGIN,
    "UnrecognizedClientException": _LOGIN,
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
_UNWRAP: Final = {
    "foreign_key": "it is not the question_key of this bridge; compare the producer's configuration with it",
    "plaintext": "see the line before",
    "bad_reply": "the reply was cut off; it is tried again by itself",
    "AccessDenied": "the key policy admits not this image, tenant or role; `sealbatch policy lint` compares",
    "AccessDeniedException": "the key policy admits not this image, tenant or role; `sealbatch policy lint` compares",
    "DisabledException": _DISABLED,
    "KMSInvalidStateException": _DISABLED,
    "NotFoundException": "there is no such key in this account and region; correct question_key",
    "InvalidKeyUsageException": "the key is not one for encryption; correct question_key",
    "IncorrectKeyException": "the wrapped key is of another key; the producer's question_key was another",
    "InvalidCiphertextException": "the wrapped key or its context was changed on the way; see who writes to the bucket",
}
REFUSALS: Final = {
    RefusalCode.MALFORMED: "the sealed object is none of this format; its reader gets decrypt_failed; compare versions",
    RefusalCode.UNSEAL_FAILED: "it does not open under its key, so it was changed; its reader gets decrypt_failed",
    RefusalCode.WRONG_IMAGE: "it demands another image; it waits for that one",
    RefusalCode.KEY_DENIED: "KMS admits not this image; it waits",
    RefusalCode.KEY_UNAVAILABLE: "KMS gave no key for now; it waits",
    RefusalCode.KEY_INVALID: "KMS cannot open its wrapped key; its reader gets decrypt_failed",
    RefusalCode.BUSY: "the enclave's window was full; it comes again",
    RefusalCode.INTERNAL: "the enclave failed on it; it comes again, and is cut smaller each time",
    RefusalCode.SHUTTING_DOWN: "the enclave ends; it comes again to another",
}
"""What follows from each code of an enclave."""
