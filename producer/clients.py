"""The three AWS clients that a producer uses, as far as it uses them; boto3's clients are of these types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class KmsClient(Protocol):
    """Makes data keys, and tells about keys where a submitter asks for that."""

    def generate_data_key(self, **request: Any) -> Mapping[str, Any]:
        """KMS GenerateDataKey."""
        ...

    def get_key_policy(self, **request: Any) -> Mapping[str, Any]:
        """KMS GetKeyPolicy."""
        ...

    def describe_key(self, **request: Any) -> Mapping[str, Any]:
        """KMS DescribeKey."""
        ...

    def list_grants(self, **request: Any) -> Mapping[str, Any]:
        """KMS ListGrants."""
        ...


class S3Client(Protocol):
    """Writes objects once, reads back what it wrote, and removes what it wrote in vain."""

    def put_object(self, **request: Any) -> Mapping[str, Any]:
        """S3 PutObject."""
        ...

    def get_object(self, **request: Any) -> Mapping[str, Any]:
        """S3 GetObject."""
        ...

    def list_object_versions(self, **request: Any) -> Mapping[str, Any]:
        """S3 ListObjectVersions."""
        ...

    def delete_objects(self, **request: Any) -> Mapping[str, Any]:
        """S3 DeleteObjects."""
        ...


class SqsClient(Protocol):
    """Sends messages, and asks whether any are left."""

    def get_queue_attributes(self, **request: Any) -> Mapping[str, Any]:
        """SQS GetQueueAttributes."""
        ...

    def send_message_batch(self, **request: Any) -> Mapping[str, Any]:
        """SQS SendMessageBatch."""
        ...


@dataclass(frozen=True, slots=True)
class Clients:
    """Each is used from several threads at once, which boto3's clients allow."""

    kms: KmsClient
    s3: S3Client
    sqs: SqsClient
