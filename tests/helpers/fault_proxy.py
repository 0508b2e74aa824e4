"""A proxy between clients and the AWS stand-in that causes the faults of a network and of AWS, by rule and by seed.

Each request meets at most one fault: of the rules that fit it, the first that is due. `FaultProxy.seen` counts requests
by operation, `FaultProxy.caused` counts faults by kind. `alter` and `alter_reply` may change what is carried.
"""

import enum
import http.client
import json
import random
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit


class Kind(enum.StrEnum):
    """What may go wrong."""

    DROP = "drop"
    """The request takes effect, and its response is lost."""
    CUT = "cut"
    """The request takes effect, and the connection ends in the middle of its response."""
    REFUSE = "refuse"
    """The connection ends before the request takes effect."""
    UNAVAILABLE = "unavailable"
    THROTTLE = "throttle"
    EXPIRED = "expired"
    """The credentials count as expired."""
    CONFLICT = "conflict"
    """409: somebody else writes the same key at this moment."""
    SKEW = "skew"
    """The client's clock counts as wrong, and the reply's Date says so."""
    DELAY = "delay"
    JUNK = "junk"
    """The request takes effect, and what comes back with a 200 is no reply of AWS's."""


@dataclass
class Rule:
    """`kind` for requests whose operation matches, with a chance, after `skip` of them, at most `times` times."""

    kind: Kind
    operation: str = ".*"
    chance: float = 1.0
    times: int | None = None
    skip: int = 0
    seconds: float = 0.2
    signed_by: str = ""
    """Only for requests that were signed with this access key."""

    def due(self, operation: str, signed_by: str, dice: random.Random) -> bool:
        """Whether this request is to meet the fault; counts it."""
        if re.fullmatch(self.operation, operation) is None or self.times == 0:
            return False
        if self.signed_by not in {"", signed_by}:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if dice.random() >= self.chance:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(frozen=True)
class Request:
    """One request: the API's name for it, its path with query, and its body."""

    operation: str
    path: str
    body: bytes


Alter = Callable[[Request], bytes | None]
"""The body to go on in the place of a request's; None to swallow the request and reply that all went well."""
AlterReply = Callable[[Request, bytes], bytes]
"""The body to go back in the place of a reply's."""

_SUMS: Final = re.compile("x-amz-checksum-.*|x-amz-sdk-checksum-.*|content-md5|etag")
"""Headers that hold a checksum of the body: whoever changes the one leaves out the others."""
_ACCESS_KEY: Final = re.compile(r"Credential=([^/]+)/")
_S3_BY_METHOD: Final = {"PUT": "PutObject", "GET": "GetObject", "DELETE": "DeleteObject", "HEAD": "HeadObject"}
_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
_ERRORS: Final = {
    Kind.UNAVAILABLE: (503, "ServiceUnavailable", "ServiceUnavailable"),
    Kind.THROTTLE: (503, "SlowDown", "ThrottlingException"),
    Kind.EXPIRED: (400, "ExpiredToken", "ExpiredTokenException"),
    Kind.CONFLICT: (409, "ConditionalRequestConflict", "ConditionalRequestConflict"),
    Kind.SKEW: (403, "RequestTimeTooSkewed", "InvalidSignatureException"),
}


def operation_of(method: str, path: str, target: str) -> str:
    """The API's name for a request, such as PutObject or SendMessageBatch."""
    if target:
        return target.rpartition(".")[2]
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    if method == "GET" and "list-type" in query:
        return "ListObjectsV2"
    if method == "GET" and "versions" in query:
        return "ListObjectVersions"
    if method == "POST" and "delete" in query:
        return "DeleteObjects"
    return _S3_BY_METHOD.get(method, method)


class FaultProxy:
    """Listens on a free port of this machine while it is entered."""

    def __init__(self, upstream: str, *rules: Rule, seed: int = 0) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self.rules = list(rules)
        self.seen: Counter[str] = Counter()
        self.caused: Counter[Kind] = Counter()
        self.watch: Callable[[str, bytes], None] = lambda _operation, _body: None
        self.alter: Alter = lambda request: request.body
        self.alter_reply: AlterReply = lambda _request, reply: reply
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        """The proxy's URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def decide(self, operation: str, body: bytes, signed_by: str) -> Rule | None:
        """Count a request and choose its fault."""
        self.watch(operation, body)
        with self._lock:
            self.seen[operation] += 1
            rule = next((rule for rule in self.rules if rule.due(operation, signed_by, self._dice)), None)
            if rule is not None:
                self.caused[rule.kind] += 1
            return rule

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """The stand-in's own reply."""
        connection = http.client.HTTPConnection(*self._upstream, timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            reply = connection.getresponse()
            data = reply.read()
            kept = {name: value for name, value in reply.getheaders() if name.lower() not in _HOP}
            if method == "HEAD":
                kept["Content-Length"] = reply.getheader("Content-Length") or "0"
            return reply.status, kept, data
        finally:
            connection.close()


def _without_sums(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if _SUMS.fullmatch(name.lower()) is None}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed in the middle is what this is for."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"
    timeout = 120

    def log_message(self, *_: object) -> None:
        """Requests hold what we carry."""

    def do_any(self) -> None:
        """One request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = operation_of(self.command, self.path, self.headers.get("X-Amz-Target") or "")
        key = _ACCESS_KEY.search(self.headers.get("Authorization") or "")
        rule = self.owner.decide(operation, body, key[1] if key else "")
        kind = None if rule is None else rule.kind
        if kind is Kind.REFUSE:
            self._hang_up()
        elif kind in _ERRORS:
            self._error(kind)
        else:
            if rule is not None and kind is Kind.DELAY:
                time.sleep(rule.seconds)
            self._carry(Request(operation, self.path, body), kind)

    def _carry(self, request: Request, kind: Kind | None) -> None:
        """Forward a request and its reply, both as `alter` and `alter_reply` would have them."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {*_HOP, "expect"}}
        body = self.owner.alter(request)
        if body is None:
            self._reply(200, {}, b"")
            return
        if body != request.body:
            headers = _without_sums(headers)
        try:
            status, kept, data = self.owner.forward(self.command, self.path, headers, body)
        except OSError:
            self._hang_up()
            return
        altered = self.owner.alter_reply(request, data)
        if altered != data:
            kept = _without_sums(kept)
        self._reply(status, kept, altered, kind)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any  # noqa: N815 - names of the base class

    def _reply(self, status: int, headers: dict[str, str], data: bytes, kind: Kind | None = None) -> None:
        if kind is Kind.DROP:
            self._hang_up()
            return
        if kind is Kind.JUNK:
            status, headers, data = 200, {}, b"\xff\xfe<html>"
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if kind is Kind.CUT:
            self.wfile.write(data[: len(data) // 2])
            self._hang_up()
        elif self.command != "HEAD":
            self.wfile.write(data)

    def _error(self, kind: Kind) -> None:
        status, s3, other = _ERRORS[kind]
        headers = {"x-amzn-requestid": "fault"}
        if kind is Kind.SKEW:
            headers["Date"] = "Tue, 01 Jan 2030 00:00:00 GMT"
        if self.headers.get("X-Amz-Target"):
            body = json.dumps({"__type": other, "message": "a fault of the test"}).encode()
            self._reply(503 if kind is Kind.UNAVAILABLE else 400, headers | {"Content-Type": "application/json"}, body)
        else:
            text = f"<?xml version='1.0'?><Error><Code>{s3}</Code><Message>a fault of the test</Message></Error>"
            self._reply(status, headers | {"Content-Type": "application/xml"}, text.encode())

    def _hang_up(self) -> None:
        self.close_connection = True
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
