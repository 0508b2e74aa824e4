"""AWS, or the disk, does not do what it should: a clear error, and nothing half written."""

import io
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from aws_faults import instead, kms_error, s3_error
from folders import names
from job_factory import Aws, client, make_job

from aws_errors.service_error import ServiceError, ServiceKind
from results_consumer.fetch import fetch
from results_consumer.sink import BUFFER, FileSink
from results_consumer.status import job_status


def fails(aws: Aws, folder: Path) -> ServiceError:
    """The error of a fetch of an answered job, which writes nothing and quotes nothing."""
    made = make_job(aws, 2)
    made.answer_all()
    return fails_with(replace(aws), made.ticket, folder)


def fails_with(aws: Aws, ticket: object, folder: Path) -> ServiceError:
    """The same with clients other than those that the job was made with."""
    with pytest.raises(ServiceError) as caught:
        fetch(aws.s3, aws.kms, aws.settings, ticket, FileSink(folder / "out"))  # type: ignore[arg-type]
    assert names(folder) == []
    assert "SECRET" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", ServiceKind.DENIED),
        ("ExpiredTokenException", ServiceKind.CREDENTIALS),
        ("DisabledException", ServiceKind.MISSING),
        ("ThrottlingException", ServiceKind.UNAVAILABLE),
    ],
)
def test_a_refusal_of_kms_has_its_kind_and_names_the_key(
    aws: Aws, tmp_path: Path, code: str, kind: ServiceKind
) -> None:
    """Denied, expired, gone and busy are told apart."""
    with instead(aws.kms, "Decrypt", kms_error(code)) as asked:
        error = fails(aws, tmp_path)
    assert (error.kind, error.service, error.operation, error.code) == (kind, "KMS", "Decrypt", code)
    assert (error.resource, len(asked)) == (aws.settings.answer_key, 1)


@pytest.mark.parametrize("operation", ["GetObject", "ListObjectsV2"])
@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDenied", 403, ServiceKind.DENIED),
        ("ExpiredToken", 400, ServiceKind.CREDENTIALS),
        ("NoSuchBucket", 404, ServiceKind.MISSING),
        ("SlowDown", 503, ServiceKind.UNAVAILABLE),
    ],
)
def test_a_refusal_of_s3_has_its_kind_and_names_the_bucket(
    aws: Aws, tmp_path: Path, *, operation: str, code: str, status: int, kind: ServiceKind
) -> None:
    """Whether reading or listing fails."""
    with instead(aws.s3, operation, s3_error(code), status):
        error = fails(aws, tmp_path)
    assert (error.kind, error.operation, error.code) == (kind, operation, code)
    assert aws.settings.bucket in str(error)


def test_a_bucket_that_is_gone_is_missing_and_no_lost_job(aws: Aws, tmp_path: Path) -> None:
    """As moto answers, for fetch and status alike: not an integrity failure."""
    made = make_job(aws, 2)
    elsewhere = replace(aws, settings=replace(aws.settings, bucket="no-such-bucket"))
    assert fails_with(elsewhere, made.ticket, tmp_path).kind == ServiceKind.MISSING
    with pytest.raises(ServiceError) as caught:
        job_status(aws.s3, elsewhere.settings, made.ticket)
    assert caught.value.kind == ServiceKind.MISSING


def test_an_answer_key_that_is_gone_is_missing(aws: Aws, tmp_path: Path) -> None:
    """As moto answers for a key that is not there."""
    made = make_job(aws, 2)
    arn = aws.settings.answer_key.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
    made.keysets = [replace(made.keysets[0], answer_key_arn=arn)]
    made.put_manifest()
    made.answer_all()
    elsewhere = replace(aws, settings=replace(aws.settings, answer_key=arn))
    error = fails_with(elsewhere, made.ticket, tmp_path)
    assert (error.kind, error.resource) == (ServiceKind.MISSING, arn)


def test_nobody_listening_is_unavailable(aws: Aws, tmp_path: Path) -> None:
    """A refused connection."""
    made = make_job(aws, 2)
    nobody = replace(aws, s3=client("http://127.0.0.1:9", "s3"))
    assert fails_with(nobody, made.ticket, tmp_path).kind == ServiceKind.UNAVAILABLE


def test_no_credentials_are_said(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in environment, files or metadata service."""
    made = make_job(aws, 2)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    s3 = boto3.session.Session().client("s3", endpoint_url=aws.s3.meta.endpoint_url, region_name="eu-central-1")
    assert fails_with(replace(aws, s3=s3), made.ticket, tmp_path).kind == ServiceKind.CREDENTIALS


def test_something_that_is_no_aws_at_the_endpoint_is_said(aws: Aws, tmp_path: Path) -> None:
    """A proxy's page instead of XML, with whatever status: no page is taken for an empty list or a missing object."""
    for status, kind in ((200, ServiceKind.UNAVAILABLE), (404, ServiceKind.MISSING), (302, ServiceKind.INVALID)):
        with instead(aws.s3, "ListObjectsV2", b"<html><p>SECRET", status):
            assert fails(aws, tmp_path).kind == kind
    with instead(aws.s3, "GetObject", b"<html><p>SECRET", 404):
        assert fails(aws, tmp_path).kind == ServiceKind.MISSING


def test_a_reply_that_is_cut_in_every_attempt_is_unavailable(aws: Aws, tmp_path: Path) -> None:
    """The connection ends in the middle of a body, again and again."""
    made = make_job(aws, 2)
    made.answer_all()

    class Cut(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise ConnectionResetError("SECRET")

    class S3:
        list_objects_v2 = staticmethod(aws.s3.list_objects_v2)

        def get_object(self, **_: object) -> dict[str, object]:
            return {"Body": Cut()}

    assert fails_with(replace(aws, s3=S3()), made.ticket, tmp_path).kind == ServiceKind.UNAVAILABLE


LIMITED = """
import resource, sys
from results_consumer.errors import SinkError
from results_consumer.sink import FileSink
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    with FileSink(sys.argv[1]) as sink:
        for _ in range(8):
            sink.write(b"x" * int(sys.argv[2]))
        sink.commit()
except SinkError as error:
    sys.exit(str(error))
"""


def test_a_real_limit_of_file_size_leaves_nothing(tmp_path: Path) -> None:
    """The kernel itself refuses the bytes, in a process of its own, after some were written."""
    root = Path(__file__).parents[2]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "out"), str(BUFFER)]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "no space left" in ended.stderr
    assert str(tmp_path / "out") in ended.stderr
    assert names(tmp_path) == []
