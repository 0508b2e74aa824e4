"""S3 and KMS in memory, as far as the reader uses them, for tests that make thousands of jobs."""

import io
import os
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

PAGE = 3

ACCOUNT = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000"


@dataclass
class MemoryS3:
    """One bucket that lists three names a page: `objects` by key; `calls` names each read with its key or prefix."""

    objects: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def get_object(self, **request: Any) -> Any:
        """The object, or S3's error if there is none."""
        self.calls.append(("GetObject", request["Key"]))
        if request["Key"] not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "gone"}}, "GetObject")
        body = self.objects[request["Key"]]
        return {"Body": StreamingBody(io.BytesIO(body), len(body))}

    def put_object(self, **request: Any) -> Any:
        """Write an object."""
        self.objects[request["Key"]] = request["Body"]

    def delete_object(self, **request: Any) -> Any:
        """Remove an object, if there is one."""
        self.objects.pop(request["Key"], None)

    def list_objects_v2(self, **request: Any) -> Any:
        """A page of names behind the one that the token names."""
        self.calls.append(("ListObjectsV2", request["Prefix"]))
        behind = request.get("ContinuationToken") or request.get("StartAfter", "")
        names = sorted(key for key in self.objects if key.startswith(request["Prefix"]) and key > behind)
        page = names[:PAGE]
        if not page:
            return {"IsTruncated": False}
        more = len(names) > PAGE
        return {"Contents": [{"Key": key} for key in page], "IsTruncated": more, "NextContinuationToken": page[-1]}


@dataclass
class MemoryKms:
    """Keys that wrap by remembering: a wrapped key is a random name."""

    wrapped: dict[bytes, tuple[str, dict[str, str], bytes]] = field(default_factory=dict)
    decrypts: int = 0

    def generate_data_key(self, **request: Any) -> Any:
        """A fresh key."""
        name, key = os.urandom(64), os.urandom(32)
        self.wrapped[name] = (request["KeyId"], request["EncryptionContext"], key)
        return {"KeyId": request["KeyId"], "CiphertextBlob": name, "Plaintext": key}

    def decrypt(self, **request: Any) -> Any:
        """The key of that name, if key ARN and context are its own."""
        self.decrypts += 1
        arn, context, key = self.wrapped.get(request["CiphertextBlob"], ("", {}, b""))
        if (arn, context) != (request["KeyId"], request["EncryptionContext"]):
            raise ClientError({"Error": {"Code": "InvalidCiphertextException", "Message": "no"}}, "Decrypt")
        return {"KeyId": arn, "Plaintext": key}
