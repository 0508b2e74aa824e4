"""The bridge as a program: `sealbatch bridge` makes settings and clients and calls `run`."""

import logging
import signal
from collections.abc import Callable
from types import FrameType

from vsock_bridge.bridge import Bridge, Clients
from vsock_bridge.settings import BridgeSettings

_log = logging.getLogger("sealbatch.vsock_bridge")


def run(settings: BridgeSettings, clients: Clients, ready: Callable[[], None] = lambda: None) -> int:
    """Carry chunks until SIGTERM or SIGINT; a second signal stops without waiting for running chunks. Exit code 0."""
    bridge = Bridge(settings, clients)

    def stop(number: int, _: FrameType | None) -> None:
        _log.info("stopping signal=%d", number)
        bridge.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    bridge.run(ready)
    return 0
