"""The tickets that a user holds."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devstack import demo
from sealbatch.client import Client
from sealbatch.config import Config, Resources
from sealbatch.exits import Exit, Stop
from sealbatch.terminal.screen import Screen
from sealbatch.tickets import NoSuchJobError, TicketBook, own_tickets
from wire.errors import TicketError
from wire.ticket import Ticket

ONE = Ticket("abcdaaaaaaaaaaaa", bytes(16))
TWO = Ticket("abcdbbbbbbbbbbbb", bytes(16))


@pytest.fixture
def book(tmp_path: Path) -> TicketBook:
    """A book with two tickets."""
    book = TicketBook(tmp_path / "state" / "tickets.jsonl")
    book.keep(ONE, "october", 0)
    book.keep(TWO, "", 0)
    return book


def test_a_job_is_found_by_ticket_job_id_or_a_beginning_of_it(book: TicketBook) -> None:
    """All three name the same ticket."""
    assert book.find(str(ONE)) == book.find(ONE.job) == book.find("abcda") == ONE


@pytest.mark.parametrize("name", ["abcd", "abc", "zzzz", ""])
def test_what_names_no_job_or_several_is_refused(book: TicketBook, name: str) -> None:
    """A beginning must name one job."""
    with pytest.raises(NoSuchJobError):
        book.find(name)


def test_a_mistyped_ticket_is_told_from_an_unknown_job(book: TicketBook) -> None:
    """It says that the check sum is wrong, before AWS is asked."""
    text = str(ONE)
    with pytest.raises(TicketError, match="mistyped"):
        book.find(text[:-1] + ("a" if text[-1] != "a" else "b"))


def test_the_file_is_for_its_owner_alone(book: TicketBook, tmp_path: Path) -> None:
    """Mode 0600, in a folder of mode 0700."""
    path = tmp_path / "state" / "tickets.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [kept.name for kept in book.all()] == ["october", ""]


def test_a_torn_last_line_is_passed_over(book: TicketBook, tmp_path: Path) -> None:
    """A full disk costs one line, not the book."""
    path = tmp_path / "state" / "tickets.jsonl"
    with path.open("ab") as file:
        file.write(b'{"ticket": "sb1-')
    assert len(book.all()) == 2


def test_a_ticket_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    """The user has it on the screen; the job must not fail for it."""
    blocker = tmp_path / "file"
    blocker.write_text("")
    book = TicketBook(blocker / "state" / "tickets.jsonl")
    book.keep(ONE, "", 0)
    assert book.all() == []
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - names are what is compared


def test_the_demonstration_keeps_its_ticket_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stack is gone when it ends: in the user's own list its job would stand as not found for ever."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))

    def send(_screen: object, client: Client, *_: object) -> None:
        client.tickets.keep(ONE, "demo", 0)
        raise Stop(Exit.TEMPORARY, "far enough")

    monkeypatch.setattr(demo.jobs, "submit_job", send)
    stack: Any = SimpleNamespace(config=Config(Resources(), "a stack"), folder=tmp_path)
    with pytest.raises(Stop, match="far enough"):
        demo._demonstrate(Screen(quiet=True), stack)
    assert own_tickets().all() == []
    assert [kept.name for kept in TicketBook(tmp_path / "tickets.jsonl").all()] == ["demo"]
