"""Submits once under an idempotency key, however often one tries: the key finds the job that was made under it.

An object in the bucket, written once, holds the ticket. Its name is an HMAC of the key under the producer's secret, so
the host learns nothing from it; its body carries an HMAC over all that it says, so the host cannot put another ticket
there. Beside the ticket stands a mark of what was submitted, an HMAC too: the key means that and nothing else. The
object is written after the manifest and before the first message: whoever loses that race takes back what it uploaded.
A second object says that all messages were sent; without it, whoever comes next sends them again, and the answers'
names make a chunk that is sent twice answered once.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from aws_errors.service_error import ServiceError, ServiceKind
from producer.store import JobStore
from wire import ledger
from wire.errors import TicketError
from wire.ticket import TICKET_LENGTH, Ticket

MIN_SECRET: Final = 32
MAX_KEY: Final = 512
_MAC_SIZE: Final = 32
_MARK_SIZE: Final = 32
_SENT: Final = b"sent\n"


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A key that stands for one job, and the producer's secret.

    `typed` is what else must be the same whenever the key is used, beside input and options: times as they were typed,
    which mean another moment each time. With `any_input` the key alone decides, because it names the input itself.

    Raises:
        ValueError: the key is empty or too long, or the secret too short.
    """

    key: str
    secret: bytes = field(repr=False)
    typed: str = ""
    any_input: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.key) <= MAX_KEY:
            raise ValueError(f"idempotency key: 1 to {MAX_KEY} characters")
        if len(self.secret) < MIN_SECRET:
            raise ValueError(f"producer's secret: at least {MIN_SECRET} bytes")


@dataclass(frozen=True, slots=True)
class Claim:
    """The job that a key stands for, and the mark of what was submitted."""

    ticket: Ticket
    mark: bytes


class Lookup:
    """The place in the bucket that an idempotency key stands for."""

    def __init__(self, store: JobStore, tenant: str, idempotency: Idempotency) -> None:
        self._store = store
        self._secret = idempotency.secret
        name = self._mac(b"key\0" + tenant.encode() + b"\0" + idempotency.key.encode()).hex()
        self._name = ledger.lookup_key(tenant, name)

    def mark(self, content: bytes) -> bytes:
        """What stands for `content` under this key and no other, 32 bytes that tell nothing about it."""
        return self._mac(b"content\0" + self._name.encode() + b"\0" + content)

    def find(self) -> Claim | None:
        """What was submitted under the key, if anything was.

        Raises:
            ServiceError: S3 does not answer, or what lies there was not written by the producer.
        """
        body = self._store.get(self._name, TICKET_LENGTH + _MARK_SIZE + _MAC_SIZE)
        if body is None:
            return None
        said, mac = body[:-_MAC_SIZE], body[-_MAC_SIZE:]
        if len(said) == TICKET_LENGTH + _MARK_SIZE and hmac.compare_digest(mac, self._claim_mac(said)):
            try:
                return Claim(Ticket.parse(said[:TICKET_LENGTH].decode("ascii")), said[TICKET_LENGTH:])
            except (TicketError, UnicodeDecodeError):
                pass
        raise ServiceError(ServiceKind.INVALID, "S3", "GetObject", self._name, code="LookupNotAuthentic")

    def claim(self, ticket: Ticket, content: bytes) -> bool:
        """Make `ticket` the key's job, which was made of `content`; False if another one is already.

        Raises:
            ServiceError: S3 does not answer.
        """
        said = str(ticket).encode() + self.mark(content)
        return self._store.put_new(self._name, said + self._claim_mac(said))

    def is_sent(self) -> bool:
        """Whether all messages of the job are known to be in the queue.

        Raises:
            ServiceError: S3 does not answer.
        """
        return self._store.get(f"{self._name}.sent", len(_SENT)) is not None

    def mark_sent(self) -> None:
        """Remember that all messages were sent.

        Raises:
            ServiceError: S3 does not answer.
        """
        self._store.put_new(f"{self._name}.sent", _SENT)

    def _claim_mac(self, said: bytes) -> bytes:
        return self._mac(b"claim\0" + self._name.encode() + b"\0" + said)

    def _mac(self, data: bytes) -> bytes:
        return hmac.new(self._secret, b"sealbatch lookup v2\0" + data, hashlib.sha256).digest()
