"""How every call to AWS is made: the one place that retries, for producer, bridge, reader and nights.

botocore's standard mode does most of it: throttling, 5xx, timeouts and broken connections are tried again after a pause
with full jitter that doubles, from 1 s where AWS throttles and 0.05 s elsewhere up to 20 s, within a quota for all
calls of a client, and each attempt is signed anew. On top of that, here:

- a deadline: no attempt begins later than `patience` seconds after the first one failed;
- credentials that AWS calls expired or unknown are read again, and the call signed with them, if they are others now;
- 409, which says that another write to the same key is under way, is tried again;
- a signature that AWS refused because of the clock gets AWS's name for that, whatever name it came under;
- a reply that ends before its announced length, or that is none of AWS's, is no reply, but a broken connection.
"""

import random
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.config import Config as BotoConfig
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ConnectionClosedError

from sealbatch import __version__
from sealbatch.aws.clock import MAX_SKEW, seconds_ahead
from sealbatch.aws.steady_body import keep_steady

ATTEMPTS: Final = 8
"""Of one call, in all: some 3 s of pauses where nobody answers, some 35 s under throttling."""
PATIENCE: Final = 60.0
POLL_PATIENCE: Final = 5.0
"""Seconds; a receive is asked for again by its own loop, which must see in time that it is to stop."""
LONGEST_PAUSE: Final = 2.0
"""Seconds at most between attempts of what is decided here."""

# botocore's own name for itself tells of the machine and is put together anew for each call, which takes a tenth of the
# call's processor time.
OPTIONS: Final = BotoConfig(
    user_agent=f"sealbatch/{__version__}",
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
)

_EXPIRED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "RequestExpired",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_CONFLICT: Final = frozenset({"ConditionalRequestConflict", "OperationAborted"})
SKEWED: Final = "RequestTimeTooSkewed"
_MAYBE_SKEWED: Final = frozenset(
    {SKEWED, "InvalidSignatureException", "RequestExpired", "RequestInTheFuture", "SignatureDoesNotMatch"}
)
_ACCESS_KEY: Final = re.compile(r"Credential=([^/,\s]+)/")

Signed = tuple[str, str]
"""Access key and session token of a request."""


class Calls:
    """The calls of one client. `credentials` gives those of its session; `clock` is in seconds since 1970."""

    def __init__(
        self,
        credentials: Callable[[], Any],
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._patience = patience
        self._clock = clock
        self._monotonic = monotonic
        self._sent = threading.local()

    def attach(self, client: Any) -> None:
        """Have `client` make its calls so."""
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register_first(f"needs-retry.{service}", self.decide)
        endpoint = client._endpoint  # noqa: SLF001 - botocore has no other place to see a reply before it is parsed
        endpoint.http_session = _WholeReplies(endpoint.http_session, self._note)
        endpoint._get_response = _readable(endpoint._get_response)  # noqa: SLF001
        if service == "s3":
            keep_steady(client, self._pause)

    def decide(
        self,
        response: tuple[Any, dict[str, Any]] | None = None,
        attempts: int = 1,
        operation: Any = None,
        request_dict: dict[str, Any] | None = None,
        **_: Any,
    ) -> float | bool | None:
        """What botocore asks after each attempt: seconds until the next, False for none, None to decide itself."""
        context = (request_dict or {}).setdefault("context", {})
        polls = operation is not None and operation.name == "ReceiveMessage"
        now = self._monotonic()
        over = now - context.setdefault("sealbatch-first", now) > (POLL_PATIENCE if polls else self._patience)
        code = "" if response is None else str(response[1].get("Error", {}).get("Code", ""))
        if code in _MAYBE_SKEWED and self._skewed(response):
            # Signing again with the same clock cannot help.
            response[1]["Error"]["Code"] = SKEWED  # type: ignore[index]
            return False
        if over or attempts >= ATTEMPTS:
            return False
        if code in _CONFLICT or (code in _EXPIRED and self._renewed()):
            return self._pause(attempts)
        return None

    def _skewed(self, response: Any) -> bool:
        try:
            return abs(seconds_ahead(response[0].headers["date"], self._clock())) > MAX_SKEW
        except (AttributeError, KeyError, TypeError, ValueError):
            return False

    def _renewed(self) -> bool:
        """Whether there are other credentials now than those that this thread's last request was signed with."""
        used: Signed | None = getattr(self._sent, "signed", None)
        try:
            credentials = self._credentials()
            if used is None or credentials is None:
                return False
            if _signing(credentials) == used:
                expire(credentials)
            return _signing(credentials) != used
        except Exception:  # noqa: BLE001 - whoever gives credentials may fail in any way: the first error is the one told
            return False

    def _note(self, signed: Signed | None) -> None:
        self._sent.signed = signed

    @staticmethod
    def _pause(attempt: int) -> float:
        return random.uniform(0.0, min(LONGEST_PAUSE, 0.1 * 2.0**attempt))


def expire(credentials: Any) -> None:
    """Have refreshable credentials fetched anew when they are next asked for; others stay as they are."""
    if isinstance(credentials, RefreshableCredentials):
        credentials._expiry_time = datetime.now(UTC) - timedelta(seconds=1)  # type: ignore[attr-defined]  # noqa: SLF001


def _signing(credentials: Any) -> Signed:
    frozen = credentials.get_frozen_credentials()
    return frozen.access_key, frozen.token or ""


class _WholeReplies:
    """botocore's HTTP session, except that half a reply is none; it tells with which key each request was signed."""

    def __init__(self, session: Any, note: Callable[[Signed | None], None]) -> None:
        self._session = session
        self._note = note

    def send(self, request: Any) -> Any:
        """Send a request.

        Raises:
            ConnectionClosedError: the reply ended before its announced length. botocore tries again.
        """
        found = _ACCESS_KEY.search(_text(request.headers.get("Authorization")))
        token = _text(request.headers.get("X-Amz-Security-Token"))
        self._note(None if found is None else (found[1], token))
        response = self._session.send(request)
        streams = request.stream_output and response.status_code < 300
        if not streams and request.method != "HEAD" and _is_cut(response):
            raise ConnectionClosedError(endpoint_url=request.url)
        return response

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


def _readable(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """What sends one request and parses its reply, except that an unreadable reply is tried again like a lost one."""

    def get(request: Any, operation: Any, context: Any) -> Any:
        try:
            return get_response(request, operation, context)
        except Exception:  # noqa: BLE001 - botocore's parsers fail on a foreign reply in many ways, and quote it
            return None, ConnectionClosedError(endpoint_url=request.url)

    return get


def _is_cut(response: Any) -> bool:
    announced = response.headers.get("content-length")
    return announced is not None and str(announced).isdigit() and len(response.content) < int(announced)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
