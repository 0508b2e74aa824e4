"""The tickets of this user, kept so that they can be listed and named by their job. No content is in them."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sealbatch.paths import state_folder
from wire.errors import SealbatchError, TicketError
from wire.ticket import Ticket

MIN_PREFIX = 4
"""Fewest characters of a job id that stand for it."""


class NoSuchJobError(SealbatchError):
    """No ticket is known by that name."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A ticket as it was kept; `created` in seconds since 1970."""

    ticket: str
    job: str
    name: str
    records: int
    created: int


def own_tickets() -> "TicketBook":
    """This user's tickets."""
    return TicketBook(state_folder() / "tickets.jsonl")


class TicketBook:
    """A file of JSON lines that only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, ticket: Ticket, name: str, records: int) -> None:
        """Add a ticket. One that cannot be kept is no error: the user has it on the screen."""
        kept = Kept(str(ticket), ticket.job, name, records, int(time.time()))
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # O_APPEND and one write: two commands at a time do not mix their lines.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, json.dumps(asdict(kept)).encode() + b"\n")
            finally:
                os.close(descriptor)

    def all(self) -> list[Kept]:
        """What is kept, oldest first; a line that was cut off by a full disk is passed over."""
        return list(self._read())

    def find(self, text: str) -> Ticket:
        """The ticket that `text` is, or that is kept under a job id beginning with `text`.

        Raises:
            TicketError: it looks like a ticket and is mistyped.
            NoSuchJobError: no kept job begins so, or several do.
        """
        if text.startswith("sb1-"):
            return Ticket.parse(text)
        found = {kept.job: kept for kept in self._read() if len(text) >= MIN_PREFIX and kept.job.startswith(text)}
        if len(found) != 1:
            many = f"{len(found)} jobs" if found else "no job"
            raise NoSuchJobError(f"{many} of this user's begins with that name")
        return Ticket.parse(next(iter(found.values())).ticket)

    def _read(self) -> Iterator[Kept]:
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, TicketError):
                kept = Kept(**json.loads(line))
                Ticket.parse(kept.ticket)
                yield kept
