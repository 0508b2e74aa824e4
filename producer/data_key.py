"""A new data key from KMS: in the clear, and wrapped."""

from collections.abc import Mapping

from aws_errors.mapped import mapped
from aws_errors.service_error import ServiceError, ServiceKind
from producer.clients import KmsClient
from wire.keys import KEY_SIZE
from wire.messages import MAX_WRAPPED


def generate_data_key(kms: KmsClient, key_arn: str, context: Mapping[str, str]) -> tuple[bytes, bytes]:
    """The plain and the wrapped key.

    Raises:
        ServiceError: KMS refused, could not be reached, or answered with another key than was asked for.
    """
    with mapped("KMS", "GenerateDataKey", key_arn):
        reply = kms.generate_data_key(KeyId=key_arn, KeySpec="AES_256", EncryptionContext=context)
    plain, wrapped = reply.get("Plaintext"), reply.get("CiphertextBlob")
    if reply.get("KeyId") == key_arn and isinstance(plain, bytes) and isinstance(wrapped, bytes):  # noqa: SIM102
        if len(plain) == KEY_SIZE and 0 < len(wrapped) <= MAX_WRAPPED:
            return plain, wrapped
    raise ServiceError(ServiceKind.INVALID, "KMS", "GenerateDataKey", key_arn)
