"""Serves the endpoint on a socket until SIGTERM or Ctrl-C."""

import asyncio
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sealbatch.client import Client
from sealbatch.errors import OptionError
from sealbatch.serve.app import make_app
from sealbatch.serve.guard import ADMITTED

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
PATIENCE: Final = 5.0
"""Seconds in which a new connection has to bring a request with the token."""
AT_ONCE: Final = 64
"""Connections that are accepted before any of them is read from."""
STRANGERS: Final = 4 * AT_ONCE
"""Connections that have not shown the token. A request that lies there when its connection is accepted is read within
three rounds of the event loop: however many others come, that connection is not yet the oldest."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen, by which names requests may come beside this machine's own, and the certificate for TLS."""

    host: str
    port: int
    token: str
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    def hosts(self) -> Collection[str]:
        """Every name that a Host header may have."""
        return {*LOOPBACK, self.host, *self.names}


class Impatient(H11Protocol):
    """A connection that gives its place up to a newer one, or after a while, until it has shown the token.

    Anybody here can open connections; by these two, nobody can keep out who has the token. Under TLS that begins when
    the handshake is over: asyncio ends one that does not come on after a minute, and until then it holds a descriptor.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait, if need be in the place of the one that has waited longest."""
        super().connection_made(transport)
        self.since = self.loop.time()
        self.loop.call_later(PATIENCE, self._end_if_strange)
        strangers = [one for one in self.connections if isinstance(one, Impatient) and one.is_strange()]
        if len(strangers) > STRANGERS:
            min(strangers, key=lambda one: one.since).transport.abort()

    def is_strange(self) -> bool:
        """Whether it is open and its last request, if there was any, had no token."""
        admitted = self.scope is not None and ADMITTED in self.scope["state"]
        return not admitted and not self.transport.is_closing()

    def _end_if_strange(self) -> None:
        if self.is_strange():
            self.transport.close()


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(client: Client, endpoint: Endpoint, ready: Callable[[str], None]) -> None:
    """Serve until a signal; `ready` is told the URL when connections are taken.

    Raises:
        OSError: the address is taken, or not this machine's.
        OptionError: the certificate or its key cannot be read.
    """
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    with socket.create_server((endpoint.host, endpoint.port), family=family) as listener:
        app, api = make_app(client, token=endpoint.token, hosts=endpoint.hosts())
        config = uvicorn.Config(
            app,
            http=Impatient,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=AT_ONCE,
            timeout_graceful_shutdown=10,
            ssl_certfile=endpoint.certificate,
            ssl_keyfile=endpoint.key,
        )
        _load(config)
        # A server's log lines and traces may quote what it carries: errors are told to whoever asked.
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
        # uvicorn ends gracefully and then gives the signal to whoever had it before: it has done all there is to do.
        signal.signal(signal.SIGTERM, lambda *_: None)
        scheme = "http" if endpoint.certificate is None else "https"
        host = endpoint.names[0] if endpoint.names else f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        ready(f"{scheme}://{host}:{listener.getsockname()[1]}/v1")
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            api.close()


def _load(config: uvicorn.Config) -> None:
    """Read the certificate, before anybody connects."""
    try:
        config.load()
    except OSError as error:
        why = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "no PEM, or not of this key"
        raise OptionError("certificate", f"it or its key cannot be used: {why}") from None
