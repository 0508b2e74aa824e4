"""An object in S3 that appears when it is complete, encrypted at rest under KMS."""

from typing import Any, Final

from aws_errors.mapped import mapped
from results_consumer.sink import Sink

PART: Final = 8 * 1024 * 1024
"""Bytes of a part; S3 takes ten thousand parts of at least 5 MiB."""
ENCRYPTION: Final = {"ServerSideEncryption": "aws:kms"}


class S3Sink(Sink):
    """Writes one object in parts: none of them is an object before `commit`, and all are dropped without it.

    Every method raises ServiceError if S3 does not take it.
    """

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self._s3 = s3
        self._place = {"Bucket": bucket, "Key": key}
        self._resource = f"bucket {bucket}"
        self._buffer = bytearray()
        self._parts: list[dict[str, Any]] = []
        self._upload = ""

    def __exit__(self, *_: object) -> None:
        if self._upload:
            with mapped("S3", "AbortMultipartUpload", self._resource):
                self._s3.abort_multipart_upload(**self._place, UploadId=self._upload)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data
        if len(self._buffer) >= PART:
            self._flush()

    def commit(self) -> None:
        """Make the object."""
        if not self._parts:
            with mapped("S3", "PutObject", self._resource):
                self._s3.put_object(**self._place, Body=bytes(self._buffer), **ENCRYPTION)
            return
        if self._buffer:
            self._flush()
        with mapped("S3", "CompleteMultipartUpload", self._resource):
            parts = {"Parts": self._parts}
            self._s3.complete_multipart_upload(**self._place, UploadId=self._upload, MultipartUpload=parts)
        self._upload = ""

    def _flush(self) -> None:
        if not self._upload:
            with mapped("S3", "CreateMultipartUpload", self._resource):
                self._upload = self._s3.create_multipart_upload(**self._place, **ENCRYPTION)["UploadId"]
        number = len(self._parts) + 1
        with mapped("S3", "UploadPart", self._resource):
            made = self._s3.upload_part(
                **self._place, UploadId=self._upload, PartNumber=number, Body=bytes(self._buffer)
            )
        self._parts.append({"ETag": made["ETag"], "PartNumber": number})
        self._buffer = bytearray()
