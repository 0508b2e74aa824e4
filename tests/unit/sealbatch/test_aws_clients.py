"""What every AWS client of ours does beyond boto3: it notices a wrong clock and reads credentials again."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from sealbatch.aws.clients import SMALL, Connector
from sealbatch.aws.clock import SkewWatch
from sealbatch.aws.credentials import LIFE, keep_fresh
from sealbatch.config import Config, Profiles, Resources

DATE = "Wed, 25 Nov 2026 01:00:00 GMT"
THEN = datetime(2026, 11, 25, 1, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("off", "said"), [(0, ""), (50, ""), (-50, ""), (600, "600 s ahead of"), (-600, "600 s behind")]
)
def test_a_wrong_clock_is_said_once(off: int, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """By the Date of AWS's own replies."""
    watch = SkewWatch(lambda: THEN + off)
    for _ in range(3):
        watch.look(http_response=SimpleNamespace(headers={"date": DATE}))
    assert [record.levelno for record in caplog.records] == ([logging.CRITICAL] if said else [])
    assert said in caplog.text


@pytest.mark.parametrize("response", [None, SimpleNamespace(headers={}), SimpleNamespace(headers={"date": "soon"})])
def test_a_reply_without_a_date_is_no_reason_to_fail(response: object, caplog: pytest.LogCaptureFixture) -> None:
    """A stand-in may not send one."""
    SkewWatch().look(http_response=response)
    assert not caplog.records


def write(path: Path, key: str) -> None:
    """A credentials file with that key."""
    path.write_text(f"[worker]\naws_access_key_id = {key}\naws_secret_access_key = s\naws_session_token = t\n")


def test_credentials_in_a_file_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody rewrites the file before they expire; a client that runs goes on with what stands there then."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    file = tmp_path / "credentials"
    write(file, "first")
    session = botocore.session.Session(profile="worker")
    session.set_config_variable("credentials_file", str(file))
    past = datetime.now(UTC) - LIFE - timedelta(minutes=1)
    times = iter([past])
    keep_fresh(session, lambda: next(times, datetime.now(UTC)))
    write(file, "second")
    assert session.get_credentials().get_frozen_credentials().access_key == "second"


def test_clients_sign_with_the_files_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The session still finds its region, and the clock is watched."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    write(tmp_path / "credentials", "ours")
    resources = Resources(
        region="eu-central-1", credentials_file=str(tmp_path / "credentials"), profiles=Profiles(bridge="worker")
    )
    sqs = Connector(Config(resources, "a test"), "worker").client("sqs")
    assert sqs._request_signer._credentials.get_frozen_credentials().access_key == "ours"
    assert sqs.meta.region_name == "eu-central-1"
    reply = SimpleNamespace(status_code=200, headers={"date": DATE.replace("2026", "2001")})
    sqs.meta.events.emit("after-call.sqs.ReceiveMessage", http_response=reply, parsed={}, model=None, context={})
    assert "ahead of AWS's" in caplog.text


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:5000"])
@pytest.mark.parametrize(("size", "asks"), [(8_400, False), (SMALL, False), (SMALL + 1, True)])
def test_a_small_object_is_sent_without_asking_first(
    monkeypatch: pytest.MonkeyPatch, size: int, endpoint: str | None, *, asks: bool
) -> None:
    """Over TLS and without: each object once cost two round trips. A stand-in gets its bytes with the headers."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    s3 = Connector(Config(Resources(region="eu-central-1", endpoint_url=endpoint), "a test"), None).client("s3")
    sent: list[AWSPreparedRequest] = []

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, SimpleNamespace(stream=lambda: iter([b""])))

    s3.meta.events.register("before-send", send)
    s3.put_object(Bucket="sealed", Key="chunk", Body=b"x" * size, IfNoneMatch="*")
    [request] = sent
    assert ("Expect" in request.headers) is asks
    assert isinstance(request.body, bytes) is (endpoint is not None and not asks)
