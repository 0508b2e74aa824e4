"""Streams between simulated processes: whole frames, in order, until one end is closed or dies."""

from collections import deque
from collections.abc import Callable

from simulated.runtime import Simulation

from wire.address import Address
from wire.errors import StreamClosed, StreamError, StreamTimeout


class SimStream:
    """One end of a connection; stands where a `wire.stream.Stream` stands."""

    def __init__(self, sim: Simulation, look: Callable[[bytes], None]) -> None:
        self._sim = sim
        self._look = look
        self._inbox: deque[bytes] = deque()
        self._closed = False
        self.peer: SimStream | None = None
        sim.process.at_death.append(self._end)

    def send(self, body: bytes, timeout: float = 60.0) -> None:  # noqa: ARG002 - the peer always has room
        """A frame."""
        self._sim.check()
        self._look(body)
        if self._closed or self.peer is None or self.peer._closed:
            self._closed = True
            raise StreamClosed("the peer is gone")
        self.peer._inbox.append(body)

    def receive(self, timeout: float | None = None) -> bytes | None:
        """The next frame, or None at the end."""
        if not self._sim.wait(lambda: bool(self._inbox) or self._closed or self._gone(), timeout):
            raise StreamTimeout("nothing came")
        if self._closed:
            raise StreamClosed("the stream was closed")
        return self._inbox.popleft() if self._inbox else None

    def close(self) -> None:
        """End it."""
        self._closed = True

    def _gone(self) -> bool:
        return self.peer is None or self.peer._closed

    def _end(self) -> None:
        self._closed = True


class SimListener:
    """What an enclave listens on, until it is closed or its process dies."""

    def __init__(self, network: "Network", address: Address) -> None:
        self._network = network
        self._address = address
        self.waiting: deque[SimStream] = deque()
        network.listeners[address] = self
        network.sim.process.at_death.append(self.close)

    def accept(self, timeout: float) -> SimStream | None:
        """The next connection."""
        if not self._network.sim.wait(lambda: bool(self.waiting), timeout):
            return None
        theirs = self.waiting.popleft()
        ours = self._network.stream()
        ours.peer, theirs.peer = theirs, ours
        return ours

    def close(self) -> None:
        """Nobody answers here now."""
        if self._network.listeners.get(self._address) is self:
            del self._network.listeners[self._address]
        for stream in self.waiting:
            stream.close()


class Network:
    """Who listens where; `look` sees each frame."""

    def __init__(self, sim: Simulation, look: Callable[[bytes], None]) -> None:
        self.sim = sim
        self._look = look
        self.listeners: dict[Address, SimListener] = {}

    def stream(self) -> SimStream:
        """An end for the running process."""
        return SimStream(self.sim, self._look)

    def connect(self, address: Address, timeout: float) -> SimStream:
        """Stands where `wire.stream.connect` stands."""
        listener = self.listeners.get(address)
        if listener is None:
            raise StreamError(f"no enclave answers at {address}")
        ours = self.stream()
        listener.waiting.append(ours)
        if not self.sim.wait(lambda: ours.peer is not None or ours._closed, timeout) or ours._closed:
            raise StreamError(f"no enclave answers at {address}")
        return ours
