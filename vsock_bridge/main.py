"""The bridge as a program: `sealbatch bridge` makes settings and clients and calls `run`."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from vsock_bridge.bridge import Bridge
from vsock_bridge.clients import Clients
from vsock_bridge.health import HealthServer
from vsock_bridge.settings import BridgeSettings
from vsock_bridge.signals import Signals

_log = logging.getLogger("sealbatch.vsock_bridge")


def run(
    settings: BridgeSettings,
    clients: Clients,
    ready: Callable[[], None] = lambda: None,
    health: tuple[str, int] | None = None,
) -> int:
    """Carry chunks until SIGTERM or SIGINT; a second signal stops without waiting for running chunks. Exit code 0.

    `health` is the host and port of the local endpoint.

    Raises:
        OSError: the endpoint's address cannot be bound.
    """
    bridge = Bridge(settings, clients)
    if health is not None:
        server = HealthServer(*health, bridge.metrics.registry, bridge.health)
        server.start()
        _log.info("health and metrics host=%s port=%d", *server.address)
    with Signals() as signals, ThreadPoolExecutor(1, thread_name_prefix="bridge") as runner:
        running = runner.submit(bridge.run, ready)
        running.add_done_callback(lambda _: signals.wake())
        while received := signals.wait():
            _log.info("stopping signal=%d", received)
            bridge.stop()
        running.result()
    return 0
