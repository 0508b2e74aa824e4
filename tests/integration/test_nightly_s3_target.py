"""Answers delivered to a prefix in S3: whole or not at all, encrypted at rest."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from job_factory import Aws
from night_world import World

from aws_errors.service_error import ServiceError
from results_consumer.s3_sink import PART, S3Sink
from sealbatch.nightly.context import Context


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
    with pytest.raises(ServiceError, match="S3 PutObject on bucket nowhere"):
        sink.commit()


@dataclass
class SplitS3:
    """The jobs' bucket in memory, every other bucket on a server."""

    memory: Any
    server: Any

    def __getattr__(self, name: str) -> Any:
        return lambda **request: getattr(self.memory if request["Bucket"] == "sealed" else self.server, name)(**request)


class S3TargetWorld(World):
    """A schedule whose answers go to a bucket."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.server = server
        super().__init__(folder, options={"answers": "s3://office/benefits"})

    def context(self) -> Context:
        """With a target that speaks S3's protocol."""
        made = super().context()
        return replace(made, aws=replace(made.aws, reader_s3=SplitS3(self.s3, self.server)))


def test_a_night_whose_bucket_comes_late_is_delivered_there_whole(tmp_path: Path, aws: Aws) -> None:
    """No bucket until noon: the job is kept; then answers and report lie in it, encrypted, and nowhere on disk."""
    world = S3TargetWorld(tmp_path, aws.s3)
    world.tick()
    world.drop("a.jsonl", ["a-1", "a-2"])
    world.pass_time(24)
    assert (len(world.sent_jobs()), world.inputs("done"), world.inputs("failed")) == (1, [], [])
    aws.s3.create_bucket(Bucket="office", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    world.pass_time(24)
    run = "benefits/2026-11-25T070000Z"
    names = [item["Key"] for item in aws.s3.list_objects_v2(Bucket="office", Prefix=run)["Contents"]]
    assert names == [f"{run}/a.answers.jsonl", f"{run}/report.html", f"{run}/report.json"]
    answers, *others = [aws.s3.get_object(Bucket="office", Key=name) for name in names]
    assert {found["ServerSideEncryption"] for found in (answers, *others)} == {"aws:kms"}
    assert [json.loads(line)["custom_id"] for line in answers["Body"].read().splitlines()] == ["a-1", "a-2"]
    assert (len(world.sent_jobs()), world.inputs("done")) == (1, ["a.jsonl"])
    [beside] = world.inbox.rglob("a.jsonl.report.json")
    assert json.loads(beside.read_text())["delivered"]["where"] == f"s3://office/{names[0]}"
    assert list(tmp_path.rglob("*.answers.jsonl")) == []
