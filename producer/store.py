"""Writes a job's objects into the bucket, each exactly once, and takes them out again if the job came to nothing."""

import logging
from collections.abc import Iterable
from itertools import islice
from typing import Final

from botocore.exceptions import ClientError

from aws_errors.mapped import error_code, mapped
from aws_errors.service_error import ServiceError, ServiceKind
from producer.clients import S3Client

DELETE_BATCH: Final = 1000
"""Keys of one DeleteObjects call, S3's own limit."""

_LOG = logging.getLogger("sealbatch.producer")
_EXISTS: Final = "PreconditionFailed"
_MISSING: Final = "NoSuchKey"


class JobStore:
    """The objects of one bucket, write-once. Used from several threads at once."""

    def __init__(self, s3: S3Client, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def put(self, key: str, body: bytes) -> None:
        """Write an object that must not be there yet.

        A retry of botocore's, after the first attempt's reply was lost, finds our own object: that is a success, as
        is shown by reading it back.

        Raises:
            ServiceError: it was not written, or another object is at the key.
        """
        if not self.put_new(key, body):
            raise ServiceError(ServiceKind.INVALID, "S3", "PutObject", self._bucket, code=_EXISTS)

    def put_new(self, key: str, body: bytes) -> bool:
        """Write an object unless there is another at the key; whether the object there is this one now.

        Raises:
            ServiceError: S3 does not answer.
        """
        with mapped("S3", "PutObject", self._bucket):
            try:
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                if error_code(error) != _EXISTS:
                    raise
            else:
                return True
        return self.get(key, len(body)) == body

    def get(self, key: str, limit: int) -> bytes | None:
        """The object, or None if there is none; of a larger one `limit` + 1 bytes.

        Raises:
            ServiceError: S3 does not give it.
        """
        with mapped("S3", "GetObject", self._bucket):
            try:
                body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]
            except ClientError as error:
                if error_code(error) == _MISSING:
                    return None
                raise
            try:
                data: bytes = body.read(limit + 1)
            finally:
                body.close()
        return data

    def remove(self, keys: Iterable[str]) -> int:
        """Remove objects as far as that is allowed and possible; the number of keys that may still be there."""
        left = 0
        rest = iter(keys)
        while batch := list(islice(rest, DELETE_BATCH)):
            left += self._remove_batch(batch)
        return left

    def _remove_batch(self, keys: list[str]) -> int:
        request = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            with mapped("S3", "DeleteObjects", self._bucket):
                failed = self._s3.delete_objects(Bucket=self._bucket, Delete=request).get("Errors", [])
        except ServiceError as error:
            _LOG.warning("objects left behind n=%d code=%s: run the purge again", len(keys), error.code)
            return len(keys)
        return len(failed)
