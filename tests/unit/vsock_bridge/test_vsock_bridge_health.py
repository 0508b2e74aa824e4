"""The local endpoint of a bridge or a beat."""

import socket
from contextlib import suppress
from urllib.request import ProxyHandler, build_opener

import pytest
from prometheus_client import CollectorRegistry

from vsock_bridge.health import HealthServer


def _speaks_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


IPV6 = pytest.mark.skipif(not _speaks_ipv6(), reason="this machine has no ::1")


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), pytest.param("::1", "[::1]", marks=IPV6)])
def test_an_address_of_ipv6_is_served_like_one_of_ipv4(host: str, shown: str) -> None:
    """It was what a mistyped --health gave as an example, and then could not be bound."""
    server = HealthServer(host, 0, CollectorRegistry(), lambda: (True, {"enclaves": 1}))
    server.start()
    try:
        with build_opener(ProxyHandler({})).open(f"http://{shown}:{server.address[1]}/healthz", timeout=30) as reply:
            assert reply.read() == b'{"healthy": true, "enclaves": 1}\n'
    finally:
        server.stop()
