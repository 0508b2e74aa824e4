"""Reading from the bucket: bounded objects and streamed names. Everything that comes out is untrusted."""

from collections.abc import Iterator
from typing import Any

from botocore import exceptions as botocore

from aws_errors.mapped import error_code, mapped
from results_consumer.clients import S3Client


class Bucket:
    """One bucket, read only. Safe to use from many threads, as boto3's clients are."""

    def __init__(self, s3: S3Client, name: str) -> None:
        self._s3 = s3
        self._name = name

    def get(self, key: str, *, limit: int) -> bytes | None:
        """The object at `key`, or None if there is none.

        Of a larger object, `limit + 1` bytes come back and no more are read: every parser then finds it too large.

        Raises:
            ServiceError: S3 or the network does not give it.
        """
        with mapped("S3", "GetObject", f"bucket {self._name}"):
            try:
                reply = self._s3.get_object(Bucket=self._name, Key=key)
            except botocore.ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return None
                raise
            return _read(reply["Body"], limit + 1)

    def names(self, prefix: str, behind: str = "") -> Iterator[str]:
        """The rest of each key that begins with `prefix`, in the order of their UTF-8 bytes; a LIST for every 1000.

        Only those that come behind the key `prefix + behind`.

        Raises:
            ServiceError: S3 or the network does not give them.
        """
        for item in self._items(prefix, behind):
            yield str(item["Key"]).removeprefix(prefix)

    def dated_names(self, prefix: str) -> Iterator[tuple[str, int]]:
        """The same, each with the time of its last change in milliseconds since 1970.

        Raises:
            ServiceError: S3 or the network does not give them.
        """
        for item in self._items(prefix):
            yield str(item["Key"]).removeprefix(prefix), int(item["LastModified"].timestamp() * 1000)

    def _items(self, prefix: str, behind: str = "") -> Iterator[dict[str, Any]]:
        position: dict[str, str] = {"StartAfter": prefix + behind} if behind else {}
        while True:
            with mapped("S3", "ListObjectsV2", f"bucket {self._name}"):
                page = self._s3.list_objects_v2(Bucket=self._name, Prefix=prefix, **position)
            yield from page.get("Contents", ())
            if not page.get("IsTruncated"):
                return
            position = {"ContinuationToken": page["NextContinuationToken"]}


def _read(body: Any, limit: int) -> bytes:
    """At most `limit` bytes of a streaming body, which is closed whatever happens."""
    parts: list[bytes] = []
    with body:
        while limit > 0 and (part := body.read(min(limit, 1 << 20))):
            parts.append(part)
            limit -= len(part)
    return b"".join(parts)
