"""An enclave for the bridge's tests: it speaks the wire over a real socket, opens nothing, and does as it is told."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from wire import messages
from wire.address import Address
from wire.errors import StreamError, WireError
from wire.messages import Answer, Message, Ready, Refusal, Unwrap, Unwrapped, UnwrapRefused, Work
from wire.stream import Stream, listen

IMAGE = "ab" * 48

Behave = Callable[[Work], Message | None]


def answer(work: Work) -> Message:
    """An answer that names the work it belongs to."""
    return Answer(work.ref, b"answer to " + work.sealed)


@dataclass
class FakeEnclave:
    """Serves connections until `stop`; `behave` gives the reply to each Work, None for none."""

    address: Address
    behave: Behave = answer
    window_chunks: int = 2
    window_bytes: int = messages.MAX_SEALED
    unwrap: Unwrap | None = None
    seen: list[Work] = field(default_factory=list)
    replies: list[Unwrapped | UnwrapRefused] = field(default_factory=list)
    most: int = 0

    def __post_init__(self) -> None:
        self._listener = listen(self.address)
        self._streams: list[Stream] = []
        self._stopped = threading.Event()
        self._outstanding: set[int] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End every connection, as an enclave does that dies."""
        self._stopped.set()
        self._listener.close()
        self.hang_up()
        self._thread.join()

    def hang_up(self) -> None:
        """End the connections and go on listening."""
        for stream in self._streams:
            stream.close()

    def say(self, message: Message) -> None:
        """Send on the newest connection."""
        if isinstance(message, Answer | Refusal):
            with self._lock:
                self._outstanding.discard(message.ref)
        with contextlib.suppress(StreamError):
            self._streams[-1].send(messages.encode(message))

    def _accept(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(WireError, ValueError):
                stream = self._listener.accept(timeout=0.05)
                if stream is not None:
                    self._streams.append(stream)
                    self._outstanding.clear()
                    threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: Stream) -> None:
        self.say(Ready(messages.VERSION, IMAGE, bytes(32), self.window_chunks, self.window_bytes))
        if self.unwrap is not None:
            self.say(self.unwrap)
        with contextlib.suppress(WireError):
            while (body := stream.receive()) is not None:
                message = messages.decode(body)
                if isinstance(message, Work):
                    with self._lock:
                        self._outstanding.add(message.ref)
                        self.most = max(self.most, len(self._outstanding))
                    self.seen.append(message)
                    reply = self.behave(message)
                    if reply is not None:
                        self.say(reply)
                elif isinstance(message, Unwrapped | UnwrapRefused):
                    self.replies.append(message)
