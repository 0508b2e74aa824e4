"""The bridge's local endpoint: `/healthz` for whoever restarts it, `/metrics` for Prometheus."""

import json
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

POLL: Final = 0.2


class HealthServer:
    """Serves one registry on HOST:PORT while it is entered; port 0 takes a free one."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, state: Callable[[], tuple[bool, dict[str, object]]]
    ) -> None:
        """`state` tells whether all is well, and what else there is to say.

        Raises:
            OSError: the address cannot be bound.
        """

        class Handler(_Handler):
            pages = {  # noqa: RUF012 - one class for one server
                "/healthz": lambda: _health(*state()),
                "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)),
            }

        server = _ServerOfIPv6 if ":" in host else ThreadingHTTPServer
        self._server = server((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL,), name="health", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _ServerOfIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


def _health(well: bool, said: dict[str, object]) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps({"healthy": well, **said}).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    """Seconds for a request; one that does not come ends with its thread."""
    pages: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]]

    def do_GET(self) -> None:
        """One of the two pages."""
        page = self.pages.get(self.path)
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        status, kind, body = page()
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """One line a scrape would be all there is in the log."""
