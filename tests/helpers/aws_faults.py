"""Failures of AWS on demand: replies that a boto3 client gets instead of the server's."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders


class RawReply(io.BytesIO):
    """A reply's body as urllib3 would hold it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """All of it."""
        yield self.read()


@contextmanager
def instead(client: Any, operation: str, body: bytes, status: int = 400) -> Iterator[list[str]]:
    """Within the block, every `operation` of `client` gets this reply; the list grows by each request's URL."""
    asked: list[str] = []

    def reply(request: Any, **_: Any) -> AWSResponse:
        asked.append(request.url)
        return AWSResponse(request.url, status, HTTPHeaders.from_pairs([("x-amzn-requestid", "1")]), RawReply(body))

    event = f"before-send.{client.meta.service_model.service_id.hyphenize()}.{operation}"
    client.meta.events.register(event, reply)
    try:
        yield asked
    finally:
        client.meta.events.unregister(event, reply)


def s3_error(code: str) -> bytes:
    """An error as S3 writes it; its message quotes what must not be passed on."""
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>SECRET</Message></Error>".encode()


def kms_error(code: str) -> bytes:
    """An error as KMS writes it; its message quotes what must not be passed on."""
    return json.dumps({"__type": code, "message": "SECRET"}).encode()


@contextmanager
def counted(client: Any, operation: str) -> Iterator[list[str]]:
    """The URLs that `operation` is sent to within the block; the replies are the server's."""
    asked: list[str] = []

    def note(request: Any, **_: Any) -> None:
        asked.append(request.url)

    event = f"before-send.{client.meta.service_model.service_id.hyphenize()}.{operation}"
    client.meta.events.register(event, note)
    try:
        yield asked
    finally:
        client.meta.events.unregister(event, note)
