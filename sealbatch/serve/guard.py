"""Lets in who holds the token, by a name that is ours; and nobody else, above all no web page."""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sealbatch.serve.api_error import ApiError

MAX_REQUESTS: Final = 64
"""Requests with the token that are answered at once."""
ADMITTED: Final = "sealbatch_admitted"
"""In a request's `state` if it has the token."""


class Guard:
    """Stands before the application.

    - The Host header must be one of `hosts`: a page whose name was pointed at this machine (DNS rebinding) sends its
      own. What a browser sends for a page of another origin is refused, and no answer allows one to be read by it.
    - The token is compared by its digest, in constant time.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str]) -> None:
        self._app = app
        self._digest = _digest(token)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return

        refusal = self._refusal(Headers(scope=scope))
        if refusal is None:
            scope.setdefault("state", {})[ADMITTED] = True
            if self._running >= MAX_REQUESTS:
                refusal = ApiError(503, "As many requests as can be are being answered; ask again.", code="busy")

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = f"req_{secrets.token_hex(12)}"
                headers["cache-control"] = "no-store"
                headers["x-content-type-options"] = "nosniff"
                if refusal is not None:
                    headers["connection"] = "close"
            await send(message)

        if refusal is not None:
            await refusal.response()(scope, receive, marked)
            return
        self._running += 1
        try:
            await self._app(scope, receive, marked)
        finally:
            self._running -= 1

    def _refusal(self, headers: Headers) -> ApiError | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            return ApiError(
                403, "This endpoint does not go by that name; `sealbatch serve --name` adds one.", code="bad_host"
            )
        if "origin" in headers:
            return ApiError(403, "This endpoint is for programs; no web page may use it.", code="bad_origin")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not hmac.compare_digest(_digest(token), self._digest) or scheme.lower() != "bearer":
            return ApiError(401, "Incorrect API key: give this endpoint's token.", code="invalid_api_key")
        return None


def _name(host: str) -> str:
    """A Host header without its port."""
    name, separator, port = host.rpartition(":")
    is_port = bool(separator) and port.isascii() and port.isdigit() and not (":" in name and not name.endswith("]"))
    return (name if is_port else host).lower().strip("[]")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
