"""The tables of docs/reference/metrics.md are what bridges and beats serve, no more and no less."""

import json
import re
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from bridge_page import REPORT, World, beat_page, samples
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until

from sealbatch.support import endpoint
from wire.messages import Refusal, RefusalCode, UnwrapCode
from wire.report import Report

TABLE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md"
ROW = re.compile(r"^\| `(sealbatch_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Connected to the enclave that is there."""
    world = World(tmp_path)
    with world:
        yield world


def test_the_documented_metrics_are_those_that_exist(world: World, tmp_path: Path) -> None:
    """Name, type and labels of each."""
    world.enclave.say(REPORT)
    wait_until(lambda: world.figure("memory_bytes"), what="a report")
    served = set()
    for family in text_string_to_metric_families(world.get("metrics") + beat_page(tmp_path)):
        if family.name.endswith("_created"):
            continue  # the time beside each counter and histogram
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        served.add((f"{family.name}{'_total' * (family.type == 'counter')}", family.type, tuple(sorted(labels))))
    documented = {
        (name, kind, tuple(sorted(re.findall(r"`(\w+)`", labels))))
        for name, kind, labels in ROW.findall(TABLE.read_text(encoding="utf-8"))
    }
    assert documented == served


def test_the_first_event_of_a_kind_is_a_rise(world: World) -> None:
    """A series that begins at 1 rises by nothing for Prometheus: the first refusal by KMS would wake nobody."""
    metrics = world.bridge.metrics
    before = samples(world.get("metrics"))
    counted = {name for name in before if "_total" in name}
    assert {before[name] for name in counted} == {0}
    metrics.received(1.0, 1)
    metrics.received(1.0, 2)
    metrics.messages.labels("undecodable").inc()
    for outcome in ("answered", "expired", "canceled", "decrypt_failed", "enclave_lost"):
        metrics.records.labels(outcome).inc()
    for refusal in RefusalCode:
        metrics.refusals.labels(str(refusal)).inc()
    for code in UnwrapCode:
        metrics.unwrap_refusals.labels(str(code)).inc()
    for service in ("s3", "sqs"):
        metrics.faults.labels(service).inc()
    metrics.losses.inc()
    metrics.retries.inc()
    after = samples(world.get("metrics"))
    assert {name: after[name] for name in after if "_total" in name} == dict.fromkeys(counted, 1)


def test_a_support_bundle_takes_the_whole_page(world: World) -> None:
    """Its filter knows every line that a bridge serves, figures of enclaves included."""
    world.enclave.say(REPORT)
    wait_until(lambda: world.figure("memory_bytes"), what="a report")
    address = "{}:{}".format(*world.server.address)
    names = [line.partition(" ")[0] for line in world.get("metrics").splitlines() if line[0] != "#"]
    taken = endpoint.metrics(address).splitlines()
    assert [line.partition(" ")[0] for line in taken if line[0] != "#"] == names
    assert len([line for line in taken if line[0] == "#"]) == world.get("metrics").count("# ")
    assert endpoint.health(address)["enclaves"] == {str(world.here): "ready", str(world.gone): "not connected"}


def test_what_came_before_its_time_has_no_age(world: World) -> None:
    """A job that is to wait until two o'clock is not late at midnight."""
    metrics = world.bridge.metrics
    metrics.received(-3600.0, 1)
    assert samples(world.get("metrics"))["sealbatch_queue_age_seconds_count"] == 0
    metrics.received(20.0, 2)
    assert samples(world.get("metrics"))["sealbatch_queue_age_seconds_sum"] == 20


def test_that_receiving_has_stopped_is_on_the_page(world: World) -> None:
    """While KMS gives no key, and no longer."""
    breaker = world.bridge._breaker
    assert samples(world.get("metrics"))["sealbatch_receiving_stopped"] == 0
    breaker.trip()
    assert samples(world.get("metrics"))["sealbatch_receiving_stopped"] == 1
    breaker.succeed()
    assert samples(world.get("metrics"))["sealbatch_receiving_stopped"] == 0


def test_what_an_enclave_reports_is_on_the_page(world: World) -> None:
    """In units of Prometheus, by the enclave's address; of one that does not answer there is nothing but that."""
    world.enclave.say(REPORT)
    wait_until(lambda: world.figure("tokens_per_second"), what="a report")
    here = str(world.here)
    assert world.figure("tokens_per_second") == {here: 64}
    assert world.figure("batch_occupancy_ratio") == {here: 0.875}
    assert world.figure("sequences_in_flight") == {here: 1024}
    assert world.figure("sequences_waiting") == {here: 16}
    assert world.figure("engine_restarts") == {here: 2}
    assert world.figure("memory_bytes") == {here: 96 * 64 * 2**20}
    assert world.figure("ready") == {here: 1, str(world.gone): 0}
    world.enclave.hang_up()
    wait_until(lambda: not world.figure("memory_bytes"), what="the end of its figures")


def test_healthz_names_the_enclave_that_is_not_ready(world: World) -> None:
    """Not connected, or its engine does not run; it is 503 when none is ready."""
    here, gone = str(world.here), str(world.gone)
    said = json.loads(world.get("healthz"))
    assert (said["healthy"], said["enclaves"]) == (True, {here: "ready", gone: "not connected"})
    world.enclave.say(Report(ready=False, tokens=0, occupancy=0, sequences=0, waiting=0, restarts=1, memory=2))
    wait_until(lambda: not world.bridge.health()[0], what="a report")
    with pytest.raises(urllib.error.HTTPError, match="503") as caught:
        world.get("healthz")
    said = json.load(caught.value)
    assert (said["healthy"], said["enclaves"]) == (False, {here: "engine down", gone: "not connected"})


def test_a_report_settles_no_work(world: World) -> None:
    """It may come between any two messages."""
    world.enclave.say(REPORT)
    world.enclave.say(Refusal(7, RefusalCode.BUSY))
    world.enclave.say(REPORT)
    wait_until(lambda: world.figure("tokens_per_second"), what="a report")
    assert world.bridge._pool.connected == 1
