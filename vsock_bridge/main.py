"""The bridge as a program: `sealbatch bridge` makes settings and clients and calls `run`."""

import logging
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from vsock_bridge.bridge import Bridge, Clients
from vsock_bridge.health import HealthServer
from vsock_bridge.settings import BridgeSettings

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
    # A handler may interrupt anything, another handler too. All it does is put, which SimpleQueue allows it; the bridge
    # runs on a thread of its own, and the main thread takes the signals one after the other.
    signals: SimpleQueue[int | None] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: signals.put(received))
    with ThreadPoolExecutor(1, thread_name_prefix="bridge") as runner:
        running = runner.submit(bridge.run, ready)
        running.add_done_callback(lambda _: signals.put(None))
        while (received := signals.get()) is not None:
            _log.info("stopping signal=%d", received)
            bridge.stop()
        running.result()
    return 0
