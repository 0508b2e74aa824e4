"""A bridge to an enclave that is there and one that is not, and the page of its metrics; the page of a beat."""

import urllib.request
from pathlib import Path
from typing import Any, Self

from fake_enclave import FakeEnclave
from night_world import World as NightWorld
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until

from sealbatch.nightly.beat import BeatMetrics
from sealbatch.nightly.metrics import NightCollector
from vsock_bridge.bridge import Bridge
from vsock_bridge.clients import Clients
from vsock_bridge.health import HealthServer
from vsock_bridge.settings import BridgeSettings
from wire.address import Address
from wire.report import Report

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

    def __enter__(self) -> Self:
        self.server.start()
        self.bridge._pool.start()
        wait_until(lambda: self.bridge._pool.connected == 1, what="a connection")
        return self

    def __exit__(self, *_: object) -> None:
        self.bridge._pool.stop()
        self.enclave.stop()
        self.server.stop()

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


def samples(page: str) -> dict[str, float]:
    """Each sample by its name and the values of its labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def beat_page(folder: Path) -> str:
    """`/metrics` of a beat with one schedule."""
    world = NightWorld(folder)
    registry = CollectorRegistry()
    registry.register(BeatMetrics(world.settings.tick).ticks)
    registry.register(NightCollector([world.schedule], world.clock))
    return generate_latest(registry).decode()
