"""Several enclaves behind one bridge: each chunk goes to the least busy; the lost are looked for again."""

import logging
import threading
from collections.abc import Callable, Sequence

from vsock_bridge.backoff import Backoff
from vsock_bridge.enclaves import EnclaveState
from vsock_bridge.held import Piece
from vsock_bridge.link import Link
from wire.address import Address
from wire.errors import WireError

RECONNECT = Backoff(0.2, 15.0)
SAID_EVERY = 40
"""Attempts to connect between two lines about it."""

_log = logging.getLogger("sealbatch.vsock_bridge")


class Pool:
    """A thread for each address, which connects, serves, and connects again."""

    def __init__(self, addresses: Sequence[Address], link: Callable[[Address], Link]) -> None:
        self._make = link
        self._addresses = tuple(addresses)
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._links: dict[Address, Link] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(address,), name=f"enclave {address}", daemon=True)
            for address in addresses
        ]

    def start(self) -> None:
        """Begin to connect."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Close every connection and wait for the threads; what is outstanding is reported lost."""
        self._stop.set()
        for link in self._current():
            link.close()
        for thread in self._threads:
            thread.join()

    def wait_ready(self, timeout: float) -> bool:
        """Wait until an enclave is connected; False after `timeout` seconds without one."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._links), timeout)

    def window(self) -> int:
        """Chunks that all connected enclaves take at a time, together."""
        return sum(link.ready.window_chunks for link in self._current())

    def room(self) -> int:
        """Pieces that they have room for now."""
        return sum(link.room() for link in self._current())

    @property
    def connected(self) -> int:
        """Enclaves that are connected."""
        return len(self._current())

    def states(self) -> dict[str, EnclaveState]:
        """Each configured enclave's state, by its address."""
        with self._changed:
            links = dict(self._links)
        return {
            str(address): EnclaveState(address in links, links[address].report if address in links else None)
            for address in self._addresses
        }

    def send(self, piece: Piece, sealed: bytes) -> bool:
        """Hand a piece of a chunk to the enclave with the most room; False if none has any."""
        by_room = sorted(self._current(), key=Link.room, reverse=True)
        return any(link.send(piece, sealed) for link in by_room)

    def eject(self, limit: float) -> None:
        """Close the connections of enclaves that have hung for more than `limit` seconds; they are tried again."""
        for link in self._current():
            if link.hung(limit):
                _log.error(
                    "enclave hangs address=%s seconds=%d: it has work and says nothing, so its connection is closed "
                    "and others get the work; if it comes again, restart the enclave",
                    link.address,
                    limit,
                )
                link.close()

    def _current(self) -> list[Link]:
        with self._changed:
            return list(self._links.values())

    def _run(self, address: Address) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                link = self._make(address)
            except WireError as error:
                if failures % SAID_EVERY == 0:
                    _log.warning(
                        "enclave not reached address=%s reason=%s: tried again, and said again in some minutes; one "
                        "that loads its model does not answer yet; otherwise `sealbatch enclave describe`",
                        address,
                        error,
                    )
                failures += 1
                self._stop.wait(RECONNECT.pause(failures))
                continue
            failures = 0
            _log.info("enclave connected address=%s image=%s", address, link.ready.image)
            self._serve(address, link)

    def _serve(self, address: Address, link: Link) -> None:
        with self._changed:
            self._links[address] = link
            self._changed.notify_all()
        if self._stop.is_set():
            link.close()
        try:
            link.serve()
        finally:
            with self._changed:
                del self._links[address]
            _log.info("enclave disconnected address=%s: it is called again", address)
