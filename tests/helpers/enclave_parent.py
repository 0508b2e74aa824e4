"""An enclave's server on a real socket with a scripted engine, and a parent that speaks to it as it likes."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from places import Place
from question_factory import IMAGE, Keys
from receipt_factory import ROOT, STARTED
from scripted_engine import ScriptedEngine

from devstack.cms import envelop
from devstack.nsm import SoftwareNsm
from enclave_worker.server import EnclaveServer
from enclave_worker.settings import Settings
from enclave_worker.template import Template
from wire import messages
from wire.address import Address
from wire.messages import Message, Progress, Ready, Unwrap, Unwrapped, UnwrapRefused, Work
from wire.payload import Record
from wire.report import Report
from wire.stream import Stream, connect, listen

TEMPLATE = Template(user_turn="{content}", prompt_end="", stop=())
PATIENCE = 30.0
"""Seconds after which a message that does not come fails the test."""

M = TypeVar("M", bound=Message)


class EchoAttestor:
    """Its document is the public key itself, and every one is remembered; that of a receipt key is a real one."""

    def __init__(self, image: str = IMAGE) -> None:
        self.documents: list[bytes] = []
        self._image = image
        self._nsm = SoftwareNsm(ROOT, {0: bytes.fromhex(image)}, lambda: STARTED)

    def attest(self, *, public_key: bytes | None, user_data: bytes | None, nonce: bytes | None) -> bytes:
        """The key that KMS is to encrypt to, or the document of a receipt key."""
        assert public_key is not None
        assert nonce is None
        if user_data is not None:
            return self._nsm.attest(public_key=public_key, user_data=user_data, nonce=None)
        self.documents.append(public_key)
        return public_key

    def pcr(self, index: int) -> bytes:
        """The image."""
        assert index == 0
        return bytes.fromhex(self._image)


class RunningEnclave:
    """A server in a thread, from `with` to its end."""

    def __init__(
        self, folder: Path, engine: ScriptedEngine | None = None, *, place: Place | None = None, **settings: Any
    ) -> None:
        self.engine = engine or ScriptedEngine()
        self.attestor = EchoAttestor()
        unix = Address.parse(f"unix://{folder}/e.sock")
        place = place or Place(unix, unix)
        self.address = place.connect
        made = Settings(model=folder, **{"grace": 20.0, **settings})
        listener = listen(place.listen)
        try:
            self._server = EnclaveServer(
                listener, self.attestor, self.engine, TEMPLATE, made, vitals=self.engine.vitals
            )
        except ValueError:
            listener.close()
            raise
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.streams: list[Stream] = []

    def stop(self) -> None:
        """Ask the server to end."""
        self._server.stop()

    def ended(self) -> bool:
        """Whether it has."""
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.gate.set()
        self.engine.endless = False
        self.stop()
        self._thread.join(PATIENCE)
        for stream in self.streams:
            stream.close()
        assert self.ended()


def public_key(request: Unwrap) -> RSAPublicKey:
    """The key that a document of `EchoAttestor` asks KMS to encrypt to."""
    key = load_der_public_key(request.document)
    assert isinstance(key, RSAPublicKey)
    return key


Courier = Callable[[Unwrap, RSAPublicKey], Unwrapped | UnwrapRefused | None]


class Parent:
    """One connection to an enclave. It answers unwraps as KMS would for the keysets that it knows."""

    def __init__(self, enclave: RunningEnclave, *keysets: Keys) -> None:
        self.stream: Stream = connect(enclave.address, PATIENCE)
        enclave.streams.append(self.stream)
        self.keysets = {keyset.wrapped: keyset for keyset in keysets}
        self.unwraps: list[Unwrap] = []
        self.progress: list[int] = []
        self.courier: Courier = self.kms
        self.ready = self.take(Ready)

    def kms(self, request: Unwrap, public: RSAPublicKey) -> Unwrapped | UnwrapRefused | None:
        """What KMS does with a document that its policy admits."""
        keyset = self.keysets[request.wrapped]
        assert dict(request.context) == keyset.context
        return Unwrapped(request.request, envelop(keyset.question_key, public))

    def send(self, message: Message) -> None:
        """Send a message."""
        self.stream.send(messages.encode(message))

    def work(self, ref: int, keyset: Keys, records: Sequence[Record], **bent: Any) -> bytes:
        """Seal records and send them as the work `ref`; the sealed chunk."""
        sealed = keyset.seal(records, **bent)
        self.send(Work(ref, records[0].number, len(records), sealed))
        return sealed

    def next(self, *, reports: bool = False) -> Message | None:
        """The next message that is for no one else, a report only if asked for; None at the end of the connection."""
        while (body := self.stream.receive(PATIENCE)) is not None:
            message = messages.decode(body)
            match message:
                case Unwrap():
                    self.unwraps.append(message)
                    if (reply := self.courier(message, public_key(message))) is not None:
                        self.send(reply)
                case Progress():
                    self.progress.append(message.ref)
                case Report() if not reports:
                    pass
                case _:
                    return message
        return None

    def take(self, kind: type[M]) -> M:
        """The next message, which must be of this kind."""
        message = self.next(reports=kind is Report)
        assert isinstance(message, kind), message
        return message

    def close(self) -> None:
        """Hang up."""
        self.stream.close()
