"""Who is told of a night: an endpoint and a topic that keep what they hear, or refuse it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from botocore.exceptions import ClientError


class Endpoint(BaseHTTPRequestHandler):
    """A webhook that keeps what it is told, and refuses while `refuse`."""

    told: list[dict[str, Any]]
    refuse: bool

    def do_POST(self) -> None:
        """Take it, or not."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).told.append(json.loads(body))
        self.send_response(503 if type(self).refuse else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def webhook() -> Iterator[tuple[str, type[Endpoint]]]:
    """An endpoint on this machine."""

    class Own(Endpoint):
        told: list[dict[str, Any]] = []  # noqa: RUF012 - one list for each endpoint is the point
        refuse = False

    server = HTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?token=secret", Own
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


TOPIC = "arn:aws:sns:eu-central-1:123456789012:"


class Sns:
    """A topic."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def publish(self, **request: Any) -> None:
        """Take it."""
        if "broken" in request["TopicArn"]:
            raise ClientError({"Error": {"Code": "NotFound", "Message": "x"}}, "Publish")
        self.told.append(json.loads(request["Message"]))
