"""The table of docs/reference/metrics.md is what `/metrics` serves, no more and no less, with what enclaves report."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_enclave import FakeEnclave
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until

from vsock_bridge.bridge import Bridge, Clients
from vsock_bridge.health import HealthServer
from vsock_bridge.settings import BridgeSettings
from wire.address import Address
from wire.messages import Refusal, RefusalCode, UnwrapCode
from wire.report import Report

TABLE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md"
ROW = re.compile(r"^\| `(sealbatch_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)
REPORT = Report(ready=True, tokens=4, occupancy=7, sequences=8, waiting=2, restarts=2, memory=96)


class NoAws:
    """An empty queue, and nothing else."""

    def receive_message(self, **_: Any) -> dict[str, Any]:
        """No message."""
        return {}


class World:
    """A bridge to two enclaves, of which one is there, and its endpoint."""

    def __init__(self, folder: Path) -> None:
        self.here, self.gone = (Address.parse(f"unix://{folder}/{name}") for name in "ab")
        self.enclave = FakeEnclave(self.here)
        settings = BridgeSettings("url", "bucket", "key", (self.here, self.gone), wait=1)
        aws: Any = NoAws()
        self.bridge = Bridge(settings, Clients(aws, aws, aws))
        self.server = HealthServer("127.0.0.1", 0, self.bridge.metrics.registry, self.bridge.health)

    def get(self, page: str) -> str:
        """A page."""
        host, port = self.server.address
        with urllib.request.urlopen(f"http://{host}:{port}/{page}", timeout=10) as reply:
            return str(reply.read(), "utf-8")

    def figure(self, name: str) -> dict[str, float]:
        """A gauge of the enclaves, by their addresses."""
        families = text_string_to_metric_families(self.get("metrics"))
        samples = [sample for family in families for sample in family.samples]
        return {
            sample.labels["enclave"]: sample.value for sample in samples if sample.name == f"sealbatch_enclave_{name}"
        }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Connected to the enclave that is there."""
    world = World(tmp_path)
    world.server.start()
    world.bridge._pool.start()
    try:
        wait_until(lambda: world.bridge._pool.connected == 1, what="a connection")
        yield world
    finally:
        world.bridge._pool.stop()
        world.enclave.stop()
        world.server.stop()


def test_the_documented_metrics_are_those_that_exist(world: World) -> None:
    """Name, type and labels of each, after every label has been used."""
    metrics = world.bridge.metrics
    metrics.received(1.0, 1)
    metrics.answered(1)
    metrics.refused(RefusalCode.BUSY)
    metrics.unwrap_refused(UnwrapCode.DENIED)
    metrics.fault("s3")
    world.enclave.say(REPORT)
    wait_until(lambda: world.figure("memory_bytes"), what="a report")
    served = set()
    for family in text_string_to_metric_families(world.get("metrics")):
        if family.name.endswith("_created"):
            continue  # the time beside each counter and histogram
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        served.add((f"{family.name}{'_total' * (family.type == 'counter')}", family.type, tuple(sorted(labels))))
    documented = {
        (name, kind, tuple(sorted(re.findall(r"`(\w+)`", labels))))
        for name, kind, labels in ROW.findall(TABLE.read_text(encoding="utf-8"))
    }
    assert documented == served


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
