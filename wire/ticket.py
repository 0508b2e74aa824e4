"""Tickets: what `submit` prints and every other verb takes.

A ticket holds the job's id and the digest of its manifest, so whoever holds it can tell the true manifest from any
other. `sb1-` and 48 characters of lower-case base32: 10 bytes of job id, 16 of manifest digest, 4 of CRC-32 against
mistyping.
"""

import base64
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Final

from wire.errors import TicketError
from wire.names import JOB

PREFIX: Final = "sb1-"
JOB_BYTES: Final = 10
DIGEST_BYTES: Final = 16
"""128 bits: an attacker needs a second preimage of a manifest that the producer, who is trusted, made."""
TICKET_LENGTH: Final = len(PREFIX) + 48

_SHAPE: Final = re.compile(r"sb1-[a-z2-7]{48}")


def new_job_id() -> str:
    """A random job id."""
    return _base32(secrets.token_bytes(JOB_BYTES))


@dataclass(frozen=True, slots=True)
class Ticket:
    """A job id and the first 16 bytes of the SHA-256 of its manifest."""

    job: str
    digest: bytes

    def __post_init__(self) -> None:
        if JOB.fullmatch(self.job) is None or len(self.digest) != DIGEST_BYTES:
            raise ValueError("a ticket has a job id and a digest of 16 bytes")

    def __str__(self) -> str:
        body = base64.b32decode(self.job.upper()) + self.digest
        return PREFIX + _base32(body + zlib.crc32(body).to_bytes(4, "big"))

    @classmethod
    def parse(cls, text: str) -> "Ticket":
        """The ticket that `text` spells.

        Raises:
            TicketError: it is cut, or a character is wrong.
        """
        if _SHAPE.fullmatch(text) is None:
            raise TicketError(f"a ticket is {PREFIX} and 48 letters and digits")
        data = base64.b32decode(text.removeprefix(PREFIX).upper())
        body, check = data[:-4], data[-4:]
        if zlib.crc32(body).to_bytes(4, "big") != check:
            raise TicketError("the ticket is mistyped: its check sum is wrong")
        return cls(_base32(body[:JOB_BYTES]), body[JOB_BYTES:])


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().lower()
