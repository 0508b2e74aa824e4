"""The AWS clients that a bridge uses, as far as it uses them; boto3's clients are of these types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class KmsClient(Protocol):
    """Unwraps keys for enclaves."""

    def decrypt(self, **request: Any) -> Mapping[str, Any]:
        """KMS Decrypt."""
        ...


class S3Client(Protocol):
    """Reads questions, lists, and writes answers and notes."""

    def get_object(self, **request: Any) -> Mapping[str, Any]:
        """S3 GetObject."""
        ...

    def list_objects_v2(self, **request: Any) -> Mapping[str, Any]:
        """S3 ListObjectsV2."""
        ...

    def put_object(self, **request: Any) -> Mapping[str, Any]:
        """S3 PutObject."""
        ...


class SqsClient(Protocol):
    """Receives chunks and ends them; the same for those that nobody could end."""

    def receive_message(self, **request: Any) -> Mapping[str, Any]:
        """SQS ReceiveMessage."""
        ...

    def change_message_visibility(self, **request: Any) -> Mapping[str, Any]:
        """SQS ChangeMessageVisibility."""
        ...

    def change_message_visibility_batch(self, **request: Any) -> Mapping[str, Any]:
        """SQS ChangeMessageVisibilityBatch."""
        ...

    def send_message(self, **request: Any) -> Mapping[str, Any]:
        """SQS SendMessage."""
        ...

    def delete_message(self, **request: Any) -> Mapping[str, Any]:
        """SQS DeleteMessage."""
        ...


@dataclass(frozen=True, slots=True)
class Clients:
    """boto3 clients with the bridge's own role."""

    kms: KmsClient
    s3: S3Client
    sqs: SqsClient
