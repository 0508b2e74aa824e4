"""The AWS calls that the reader makes: three in all, and none that writes."""

from collections.abc import Callable
from typing import Any, Protocol


class S3Client(Protocol):
    """The part of boto3's S3 client that is used."""

    @property
    def get_object(self) -> Callable[..., Any]:
        """GetObject."""

    @property
    def list_objects_v2(self) -> Callable[..., Any]:
        """ListObjectsV2."""


class KmsClient(Protocol):
    """The part of boto3's KMS client that is used."""

    @property
    def decrypt(self) -> Callable[..., Any]:
        """Decrypt."""
