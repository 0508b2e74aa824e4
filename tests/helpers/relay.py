"""Stands between a real bridge and a real enclave, speaks their frames, and does with each what a test says.

The bridge connects to the relay's socket and the relay to the enclave's. What comes is handed to `Relay.rule` message
by message, from whichever side; what the rule returns goes on to where the message was going.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from wire import messages
from wire.address import Address
from wire.errors import StreamError, WireError
from wire.framing import encode_frame
from wire.messages import Message, Unwrapped, UnwrapRefused, Work
from wire.stream import Stream, connect, listen

POLL = 0.2
PATIENCE = 10.0
TO_ENCLAVE = (Work, Unwrapped, UnwrapRefused)
"""All other messages go to the bridge."""


class Wires:
    """One connection of the bridge's, and the relay's own one to the enclave."""

    def __init__(self, bridge: Stream, enclave: Stream) -> None:
        self.bridge = bridge
        self.enclave = enclave

    def send(self, message: Message) -> None:
        """Send a message to where messages of its type go."""
        with contextlib.suppress(StreamError):
            self._to(message).send(messages.encode(message))

    def send_half(self, message: Message) -> None:
        """Send the first half of a message's frame, and cut."""
        frame = encode_frame(messages.encode(message))
        with contextlib.suppress(OSError):
            self._to(message)._socket.send(frame[: len(frame) // 2])
        self.cut()

    def cut(self) -> None:
        """End both connections."""
        self.bridge.close()
        self.enclave.close()

    def _to(self, message: Message) -> Stream:
        return self.enclave if isinstance(message, TO_ENCLAVE) else self.bridge


Rule = Callable[[Message, Wires], Iterable[Message]]


def honest(message: Message, _: Wires) -> Iterable[Message]:
    """Pass everything on as it is."""
    return (message,)


class Relay:
    """Listens at `path` while it is entered. Rules run one at a time, and must not wait for another message."""

    def __init__(self, path: Path, enclave: Address) -> None:
        self.address = Address.parse(f"unix://{path}")
        self.rule: Rule = honest
        self.seen: list[bytes] = []
        self.passed: list[Message] = []
        """What was handed to the rule, in order."""
        self._enclave = enclave
        self._listener = listen(self.address)
        self._turn = threading.RLock()
        self._stopping = threading.Event()
        self._wires: list[Wires] = []
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self.cut()
        self._listener.close()

    def of(self, kind: type[Message]) -> list[Message]:
        """The messages of one type that were handed to the rule."""
        return [message for message in self.passed if isinstance(message, kind)]

    def cut(self) -> None:
        """End all connections; the bridge will connect again."""
        for wires in self._wires:
            wires.cut()

    def _run(self) -> None:
        while not self._stopping.is_set():
            bridge = self._listener.accept(POLL)
            if bridge is None:
                continue
            try:
                wires = Wires(bridge, connect(self._enclave, PATIENCE))
            except StreamError:
                bridge.close()
                continue
            self._wires.append(wires)
            for stream in (wires.bridge, wires.enclave):
                threading.Thread(target=self._pump, args=(stream, wires), daemon=True).start()

    def _pump(self, stream: Stream, wires: Wires) -> None:
        with contextlib.suppress(WireError):
            while (body := stream.receive()) is not None:
                self.seen.append(body)
                message = messages.decode(body)
                with self._turn:
                    self.passed.append(message)
                    for changed in self.rule(message, wires):
                        wires.send(changed)
        wires.cut()
