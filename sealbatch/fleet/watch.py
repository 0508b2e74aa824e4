"""From a started enclave to one that serves, and on to its end."""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import Final

from sealbatch.fleet import nitro
from sealbatch.fleet.nitro import Enclave
from wire import messages
from wire.address import PORT, Address
from wire.errors import WireError
from wire.messages import Ready
from wire.stream import connect

POLL: Final = 1.0
PATIENCE: Final = 5.0
"""Seconds that one call of an enclave may take."""
BLIND: Final = 120.0
"""Seconds for which nitro-cli may fail to list an enclave that serves, as while its package is renewed."""


class NotServingError(Exception):
    """The enclave ended, did not get ready in time, or is not the image that was started; the text says which."""


def address_of(enclave: Enclave, named: Address | None) -> Address:
    """Where its worker listens."""
    return named or Address(None, enclave.cid, PORT)


def greet(address: Address) -> Ready | None:
    """What an enclave says first, None if that is no greeting of ours.

    It says the PCR0 that its own attestation document states, so an answer shows that its NSM has attested.

    Raises:
        WireError, OSError: it is not reached, or does not answer within `PATIENCE` seconds.
    """
    with connect(address, PATIENCE) as stream:
        body = stream.receive(PATIENCE)
        ready = None if body is None else messages.decode(body)
        return ready if isinstance(ready, Ready) else None


def greeting(address: Address) -> Ready | None:
    """What an enclave says first, None if it does not answer yet."""
    with contextlib.suppress(WireError, OSError):
        return greet(address)
    return None


def await_ready(
    enclave: Enclave, address: Address, image: str, timeout: float, stopping: Callable[[float], bool]
) -> Ready:
    """Wait until the enclave has attested itself as `image` (PCR0, hex) and said that it is ready.

    `stopping` waits so many seconds and says whether to give up.

    Raises:
        NotServingError: it ended, is another image, was not ready within `timeout` seconds, or we are to give up.
        NitroError: nitro-cli refuses to describe it.
    """
    deadline = time.monotonic() + timeout
    while (ready := greeting(address)) is None:
        if not lives(enclave):
            raise NotServingError("it ended before it was ready; `--debug` shows its console to nitro-cli")
        if time.monotonic() > deadline:
            raise NotServingError(f"it was not ready within {timeout:.0f} s")
        if stopping(POLL):
            raise NotServingError("we were told to end before it was ready")
    if ready.image != image:
        raise NotServingError(f"it attests image {ready.image[:16]}… and not {image[:16]}…, which was started")
    return ready


def lives(enclave: Enclave) -> bool:
    """Whether nitro-cli still lists this very enclave as running.

    Raises:
        NitroError: nitro-cli refuses to describe it.
    """
    return any(one.identity == enclave.identity and one.state == nitro.RUNNING for one in nitro.describe())


def follow(enclave: Enclave, stopping: Callable[[float], bool]) -> bool:
    """Wait for its end, or until `stopping` (which waits so many seconds) says so; True if it ended by itself.

    Raises:
        NitroError: nitro-cli refuses to describe it, again and again for `BLIND` seconds.
    """
    seen = time.monotonic()
    while not stopping(PATIENCE):
        try:
            if not lives(enclave):
                return True
        except nitro.NitroError:
            if time.monotonic() - seen > BLIND:
                raise
        else:
            seen = time.monotonic()
    return False


def notify(state: str) -> None:
    """Tell systemd, if it started us with Type=notify; see sd_notify(3)."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.send(state.encode())
