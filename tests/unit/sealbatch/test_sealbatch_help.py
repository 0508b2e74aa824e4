"""Every verb's help fits a terminal of 80 columns, and no summary is cut."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command

from sealbatch.cli import app


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and group, with the words that call it."""
    waiting = [("sealbatch", get_command(app))]
    while waiting:
        words, command = waiting.pop()
        yield words, command
        waiting += [(f"{words} {name}", inner) for name, inner in getattr(command, "commands", {}).items()]


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=str)
def test_help_fits_the_terminal(words: str, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wider than 80 columns or ends in dots for want of room, and each verb shows how it is typed."""
    monkeypatch.setenv("COLUMNS", "80")
    # Not by calling it: the options before a verb set up the logging of this process.
    shown = command.get_help(typer.Context(command, info_name=words))
    assert shown.startswith(f"Usage: {words}")
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert not [line for line in shown.partition("Commands:")[2].splitlines() if line.endswith("...")]
    assert "\b" not in shown
