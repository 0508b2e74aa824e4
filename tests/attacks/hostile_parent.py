"""One connection to an enclave, by somebody who answers for KMS, and bends what is carried."""

from collections.abc import Callable
from typing import Any, Self

from botocore.exceptions import ClientError

from vsock_bridge.courier import DENIED, INVALID
from wire import messages
from wire.address import Address
from wire.errors import StreamError
from wire.messages import (
    Answer,
    Message,
    Progress,
    Ready,
    Refusal,
    Unwrap,
    UnwrapCode,
    Unwrapped,
    UnwrapRefused,
    Work,
)
from wire.report import Report
from wire.stream import connect

PATIENCE = 60.0


class Refused(Exception):  # noqa: N818 - the enclave's own word
    """The enclave gave the work back; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class HungUp(Exception):  # noqa: N818 - what happened
    """The enclave ended the connection."""


class HostileParent:
    """Carries work and unwraps; `on_unwrap` may bend what goes to KMS, `on_reply` what comes back."""

    def __init__(self, address: Address, kms: Any, seen: list[bytes]) -> None:
        self.kms = kms
        self.seen = seen
        self.unwraps: list[Unwrap] = []
        self.replies: list[Unwrapped | UnwrapRefused] = []
        self.on_unwrap: Callable[[Unwrap], Unwrap] = lambda request: request
        self.on_reply: Callable[[Unwrapped | UnwrapRefused], Message] = lambda reply: reply
        self._next = 0
        self.stream = connect(address, PATIENCE)
        ready = self.receive()
        assert isinstance(ready, Ready)
        self.ready = ready

    def send(self, message: Message) -> None:
        """Send a message as it is."""
        self.send_bytes(messages.encode(message))

    def send_bytes(self, body: bytes) -> None:
        """Send a frame of any bytes."""
        try:
            self.stream.send(body)
        except StreamError:
            raise HungUp from None

    def receive(self) -> Message:
        """The next message.

        Raises:
            HungUp: there is none any more.
        """
        try:
            body = self.stream.receive(PATIENCE)
        except StreamError:
            raise HungUp from None
        if body is None:
            raise HungUp
        self.seen.append(body)
        return messages.decode(body)

    def answer_with(self, ciphertext: bytes) -> None:
        """From now on answer every unwrap with this."""
        self.on_reply = lambda reply: Unwrapped(reply.request, ciphertext)

    def answer(self, work: Work) -> bytes:
        """Have a piece of work answered; the sealed answers.

        Raises:
            Refused: the enclave gave it back. HungUp: the connection ended.
        """
        self._next += 1
        self.send(Work(self._next, work.first, work.count, work.sealed))
        return self.result(self._next)

    def result(self, ref: int) -> bytes:
        """Wait for the answer to the work `ref`, and do the courier's errands meanwhile."""
        while True:
            match message := self.receive():
                case Unwrap():
                    self.unwraps.append(message)
                    reply = self.ask_kms(self.on_unwrap(message))
                    self.replies.append(reply)
                    self.send(self.on_reply(reply))
                case Answer() if message.ref == ref:
                    return message.sealed
                case Refusal() if message.ref == ref:
                    raise Refused(str(message.code))
                case Progress() | Answer() | Refusal() | Report():
                    pass
                case _:
                    raise AssertionError(message)

    def ask_kms(self, request: Unwrap) -> Unwrapped | UnwrapRefused:
        """Do what the bridge's courier does, with the bridge's credentials and no checks of its own."""
        try:
            reply = self.kms.decrypt(
                KeyId=request.key_arn,
                CiphertextBlob=request.wrapped,
                EncryptionContext=dict(request.context),
                Recipient={"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": request.document},
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            kinds = ((DENIED, UnwrapCode.DENIED), (INVALID, UnwrapCode.INVALID))
            kind = next((kind for codes, kind in kinds if code in codes), UnwrapCode.UNAVAILABLE)
            return UnwrapRefused(request.request, kind)
        return Unwrapped(request.request, reply["CiphertextForRecipient"])

    def close(self) -> None:
        """Hang up."""
        self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
