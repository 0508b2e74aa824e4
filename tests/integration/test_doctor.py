"""`sealbatch doctor` finds nothing wrong with a fresh stack, and names each fault that is made in one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from command import Typist
from eif_samples import PARTS, build

from devstack import valkey
from devstack.provision import REGION, protect_bucket, provisioned
from sealbatch.config import load_config
from sealbatch.doctor.finding import Status
from sealbatch.doctor.host import check_redis
from sealbatch.exits import Exit
from sealbatch.image.eif import read_image

IMAGE = "5" * 96
OTHER = "6" * 96


@dataclass
class Clinic:
    """A provisioned stand-in and somebody who types `sealbatch doctor` there."""

    typist: Typist
    folder: Path
    endpoint: str

    def owner(self, service: Any) -> Any:
        """A client of one who may do everything."""
        session = boto3.session.Session("owner", "owner", region_name=REGION)
        return session.client(service, endpoint_url=self.endpoint)

    def look(self, *words: str, settings: dict[str, str] | None = None) -> tuple[int, dict[str, dict[str, str]]]:
        """Exit code and findings by check."""
        done = self.typist.type("doctor", "--json", *words, settings=settings)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert all(row["mend"] for row in rows if row["status"] != "ok"), rows
        return done.returncode, {row["check"]: row for row in rows}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """One for all: each test mends what it broke."""
    folder = tmp_path_factory.mktemp("clinic")
    with provisioned(folder, image=IMAGE) as aws:
        yield Clinic(Typist(folder, folder / "sealbatch.toml"), folder, aws.endpoint())


def test_a_fresh_stack_has_no_error(clinic: Clinic) -> None:
    """The warnings are of the bucket's policy, which moto leaves out of the template, and of other packages."""
    code, found = clinic.look()
    assert [row for row in found.values() if row["status"] == "error"] == []
    assert code == Exit.OK
    assert {name for name, row in found.items() if row["status"] == "warning"} <= {"bucket TLS only", "versions"}
    assert {row["status"] for row in found.values()} <= {"ok", "warning", "skipped"}
    for name in ("credentials bridge", "clock", "region", "queue redrive", "dead-letter retention", "question key"):
        assert found[name]["status"] == "ok", found[name]


def test_faults_of_queue_and_bucket_are_named(clinic: Clinic) -> None:
    """Several at once, as they come."""
    resources = load_config(clinic.typist.config, (), {}).resources
    sqs, s3 = clinic.owner("sqs"), clinic.owner("s3")
    good = sqs.get_queue_attributes(QueueUrl=resources.queue_url, AttributeNames=["RedrivePolicy"])["Attributes"]
    sqs.set_queue_attributes(
        QueueUrl=resources.queue_url,
        Attributes={"MessageRetentionPeriod": "600", "RedrivePolicy": ""},
    )
    sqs.set_queue_attributes(QueueUrl=resources.dead_letter_url, Attributes={"MessageRetentionPeriod": "300"})
    sqs.send_message(QueueUrl=resources.dead_letter_url, MessageBody="x")
    s3.put_bucket_versioning(Bucket=resources.bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_public_access_block(Bucket=resources.bucket)
    s3.delete_bucket_lifecycle(Bucket=resources.bucket)
    try:
        code, found = clinic.look("--role", "bridge")
    finally:
        sqs.set_queue_attributes(QueueUrl=resources.queue_url, Attributes={"MessageRetentionPeriod": "604800", **good})
        sqs.set_queue_attributes(QueueUrl=resources.dead_letter_url, Attributes={"MessageRetentionPeriod": "1209600"})
        sqs.purge_queue(QueueUrl=resources.dead_letter_url)
        protect_bucket(s3, resources.bucket)
    assert code == Exit.CONFIGURATION
    errors = {name for name, row in found.items() if row["status"] == "error"}
    assert errors >= {"queue retention", "queue redrive", "dead-letter retention", "bucket versioning"}
    assert "bucket public access" in errors
    assert found["dead letters"]["status"] == "warning"
    assert found["bucket lifecycle"]["status"] == "warning"


def test_keys_of_another_region_are_named(clinic: Clinic) -> None:
    """A region that was mistyped."""
    code, found = clinic.look("--role", "producer", settings={"region": "eu-west-1"})
    assert code == Exit.CONFIGURATION
    assert "question_key, answer_key" in found["region"]["found"]


def test_a_release_that_the_keys_do_not_admit_is_an_error(clinic: Clinic) -> None:
    """The policy admits another image than the release's."""
    release = clinic.folder / "pcrs.json"
    release.write_text(json.dumps({"format": 1, "name": "next", "pcrs": {"0": OTHER}}))
    code, found = clinic.look("--role", "producer", "--release", str(release))
    assert code == Exit.CONFIGURATION
    assert any(name.startswith("question key ") and row["status"] == "error" for name, row in found.items())
    assert found["image"]["status"] == "error"
    assert f"set image to {OTHER}" in found["image"]["mend"]


def test_an_image_file_that_is_not_the_releases_is_an_error(clinic: Clinic) -> None:
    """It would be started, attest, and get no key; so is one that is none."""
    eif, release = clinic.folder / "y.eif", clinic.folder / "y.json"
    eif.write_bytes(build(PARTS))
    with eif.open("rb") as file:
        image = read_image(file).pcrs[0].hex()
    words = ("--role", "reader", "--eif", str(eif), "--release", str(release))
    for pcr0, status in ((OTHER, "error"), (image, "ok")):
        release.write_text(json.dumps({"format": 1, "name": "next", "pcrs": {"0": pcr0}}))
        assert clinic.look(*words)[1]["image file"]["status"] == status
    eif.write_bytes(b"")
    assert clinic.look(*words)[1]["image file"]["status"] == "error"


def test_missing_things_are_findings_and_no_ends(clinic: Clinic) -> None:
    """No bucket, no enclave, too little memory: three errors in one run."""
    allocator, eif = clinic.folder / "allocator.yaml", clinic.folder / "x.eif"
    allocator.write_text("---\n# small\nmemory_mib: 7\ncpu_count: 2\n")
    with eif.open("wb") as file:
        file.truncate(2 * 2**20)
    words = ("--role", "bridge", "--enclave", f"unix://{clinic.folder}/none.sock")
    code, found = clinic.look(
        *words, "--allocator", str(allocator), "--eif", str(eif), settings={"bucket": "sealbatch-nobody"}
    )
    assert code == Exit.CONFIGURATION
    assert found["bucket versioning"]["status"] == "error"
    assert found[f"enclave unix://{clinic.folder}/none.sock"]["status"] == "error"
    assert "at least 8" in found["allocator"]["found"]
    allocator.write_text("---\nmemory_mib: 8\ncpu_count: 2\n")
    assert clinic.look("--role", "reader", "--allocator", str(allocator), "--eif", str(eif))[0] == Exit.OK


def test_a_redis_that_evicts_is_an_error(clinic: Clinic, tmp_path: Path) -> None:
    """And one that is well, and one that is not there."""
    part = valkey.start(tmp_path, tmp_path / "valkey.log", "--maxmemory-policy", "allkeys-lru")
    try:
        assert [finding.status for finding in check_redis(valkey.url(tmp_path))] == [Status.ERROR]
    finally:
        part.stop(5)
    assert [finding.check for finding in check_redis(valkey.url(tmp_path))] == ["redis"]
