"""An enclave that is away is called again and again, and the log is not filled with it."""

import pytest
from waiting import wait_until

from vsock_bridge import pool
from vsock_bridge.backoff import Backoff
from vsock_bridge.link import Link
from vsock_bridge.pool import SAID_EVERY, Pool
from wire.address import Address
from wire.errors import StreamError


def test_a_long_absence_is_said_now_and_then(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """At once, and then after so many attempts: a night's absence once filled the journal with thousands of lines."""
    monkeypatch.setattr(pool, "RECONNECT", Backoff(0.0, 0.0))
    calls: list[Address] = []

    def away(address: Address) -> Link:
        calls.append(address)
        raise StreamError("connection refused")

    tried = Pool([Address.parse("vsock://16:5005")], away)
    tried.start()
    wait_until(lambda: len(calls) > 2 * SAID_EVERY, what="many attempts")
    tried.stop()
    said = [line for line in caplog.messages if "enclave not reached address=vsock://16:5005" in line]
    assert len(said) == -(-len(calls) // SAID_EVERY)
    assert "connection refused" in said[0]
    assert "`sealbatch enclave describe`" in said[0]
