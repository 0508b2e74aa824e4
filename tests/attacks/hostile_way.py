"""The parent between the real processes: a relay before the enclave, and a proxy before queue, bucket and KMS."""

import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from fault_proxy import FaultProxy
from relay import Relay, honest
from waiting import wait_until

from devstack.part import Part
from devstack.stack import Stack
from wire.address import Address

PATIENCE = 60.0
"""Seconds after which what does not happen fails the attack."""


class HostileWay:
    """A bridge whose every byte passes through the parent's hands, while it is entered."""

    def __init__(self, stack: Stack, enclave: Address, seen: list[bytes]) -> None:
        self._stack = stack
        self._stop = ExitStack()
        socket = (stack.folder if enclave.path is None else stack.folder.joinpath(enclave.path)).with_name("way.sock")
        self.relay = Relay(socket, enclave)
        self.relay.seen = seen
        self.proxy = FaultProxy(stack.endpoint)
        self.config = stack.folder / "way.toml"
        """A configuration that leads through the proxy."""
        self.config.write_text(stack.config.read_text().replace(stack.endpoint, self.proxy.endpoint))
        assert tomllib.loads(self.config.read_text())["endpoint_url"] == self.proxy.endpoint

    def __enter__(self) -> Self:
        self._stop.enter_context(self.proxy)
        self._stop.enter_context(self.relay)
        ready = self._stack.folder / "way.ready"
        words = ["bridge", "--enclave", str(self.relay.address), "--ready-file", str(ready), "--grace", "0"]
        log = self._stack.folder / "log" / "way.log"
        bridge = Part("way", ["-m", "sealbatch", "--config", str(self.config), *words], log)
        self._stop.callback(bridge.stop, 0.0)
        wait_until(lambda: ready.exists() or bridge.check(), PATIENCE, "the bridge")
        self._bridge = bridge
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()

    def reset(self) -> None:
        """Carry everything as it is, from now on."""
        self.relay.rule = honest
        self.relay.passed.clear()
        self.proxy.alter = lambda request: request.body
        self.proxy.alter_reply = lambda _request, reply: reply

    def until(self, predicate: Callable[[], object], what: str) -> None:
        """Wait until something is so; the bridge must live on meanwhile."""

        def holds() -> object:
            self._bridge.check()
            return predicate()

        wait_until(holds, PATIENCE, what)
