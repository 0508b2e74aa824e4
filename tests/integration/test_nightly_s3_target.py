"""Answers delivered to a prefix in S3: whole or not at all, encrypted at rest."""

from collections.abc import Iterator

import pytest
from job_factory import Aws, aws_server

from results_consumer.errors import ServiceError
from results_consumer.s3_sink import PART, S3Sink
from sealbatch.nightly.target import S3Target, make_target


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    """A moto server with a bucket."""
    with aws_server() as found:
        yield found


def keys(aws: Aws) -> list[str]:
    """All objects."""
    return [item["Key"] for item in aws.s3.list_objects_v2(Bucket=aws.settings.bucket).get("Contents", [])]


def test_an_object_appears_on_commit_and_is_encrypted(aws: Aws) -> None:
    """Small ones in one call, large ones in parts; the same bytes come back."""
    for name, size in (("small", 10), ("large", 2 * PART + 7)):
        data = bytes(range(256)) * (size // 256 + 1)
        with S3Sink(aws.s3, aws.settings.bucket, name) as sink:
            for start in range(0, len(data), 1 << 20):
                sink.write(data[start : start + (1 << 20)])
            assert name not in keys(aws)
            sink.commit()
        found = aws.s3.get_object(Bucket=aws.settings.bucket, Key=name)
        assert found["Body"].read() == data
        assert found["ServerSideEncryption"] == "aws:kms"


def test_what_is_not_committed_leaves_nothing(aws: Aws) -> None:
    """Neither an object nor parts that are paid for."""

    def break_off() -> None:
        with S3Sink(aws.s3, aws.settings.bucket, "half") as sink:
            sink.write(bytes(PART + 1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert "half" not in keys(aws)
    assert aws.s3.list_multipart_uploads(Bucket=aws.settings.bucket).get("Uploads", []) == []


def test_a_bucket_that_is_gone_is_told_without_content(aws: Aws) -> None:
    """By its name and the call."""
    sink = S3Sink(aws.s3, "nowhere", "x")
    sink.write(b"secret")
    with pytest.raises(ServiceError, match="s3 PutObject on bucket nowhere"):
        sink.commit()


def test_a_run_has_its_own_prefix(aws: Aws) -> None:
    """Below the one that the schedule names."""
    target = make_target("s3://answers/office/benefits", "2026-11-25T070000Z", aws.s3)
    assert isinstance(target, S3Target)
    assert target.where("a.answers.jsonl") == "s3://answers/office/benefits/2026-11-25T070000Z/a.answers.jsonl"
