"""Reading objects and names."""

import io
from typing import Any

import pytest
from botocore.response import StreamingBody
from memory_aws import PAGE, MemoryS3

from aws_errors.service_error import ServiceError, ServiceKind
from results_consumer.bucket import Bucket


class CountingBody(StreamingBody):  # type: ignore[misc]
    """A body that tells how much of it was read and whether it was closed."""

    def __init__(self, data: bytes, announced: int | None = None) -> None:
        self.stream = io.BytesIO(data)
        super().__init__(self.stream, len(data) if announced is None else announced)


class ScriptedS3(MemoryS3):
    """Answers GetObject with the bodies given, one after the other."""

    def __init__(self, *bodies: CountingBody) -> None:
        super().__init__()
        self.bodies = list(bodies)

    def get_object(self, **request: Any) -> Any:
        """The next body."""
        self.calls.append(("GetObject", request["Key"]))
        return {"Body": self.bodies.pop(0)}


def test_an_object_comes_whole() -> None:
    """Up to the limit and at it, bytes are given as they are."""
    for size in (0, 1, 9, 10):
        assert Bucket(MemoryS3({"a": b"x" * size}), "sealed").get("a", limit=10) == b"x" * size


def test_a_missing_object_is_none() -> None:
    """Only a missing object is None: a missing bucket is an error."""
    assert Bucket(MemoryS3(), "sealed").get("a", limit=10) is None


def test_of_a_huge_object_one_byte_too_many_is_read_and_no_more() -> None:
    """Whoever puts a terabyte there makes us read the limit, and the parser refuse it."""
    body = CountingBody(b"x" * 1000)
    assert Bucket(ScriptedS3(body), "sealed").get("a", limit=10) == b"x" * 11
    assert body.stream.closed


def test_half_a_body_is_never_taken_for_the_object() -> None:
    """Whose client does not read bodies to their end, as the command's does, is told."""
    s3 = ScriptedS3(CountingBody(b"hal", announced=4))
    with pytest.raises(ServiceError) as caught:
        Bucket(s3, "sealed").get("a", limit=10)
    assert caught.value.kind is ServiceKind.UNAVAILABLE


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 3 * PAGE])
def test_names_come_in_order_over_all_pages(count: int) -> None:
    """One LIST a page, the prefix taken off."""
    s3 = MemoryS3({f"t/j/answers/{n:08d}.0.1": b"" for n in range(count)} | {"t/j/manifest": b""})
    assert list(Bucket(s3, "sealed").names("t/j/answers/")) == [f"{n:08d}.0.1" for n in range(count)]
    assert len(s3.calls) == max(1, -(-count // PAGE))
