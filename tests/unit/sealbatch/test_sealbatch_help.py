"""Every verb's help fits a terminal of 80 columns, and no summary is cut."""

from collections.abc import Iterator

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from sealbatch.cli import app


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""
    waiting = [((), get_command(app))]
    while waiting:
        words, command = waiting.pop()
        yield words
        waiting += [((*words, name), inner) for name, inner in getattr(command, "commands", {}).items()]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_fits_the_terminal(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wider than 80 columns or ends in dots for want of room, and each verb shows how it is typed."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[0].startswith("Usage: ")
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80
    summaries = shown.stdout.partition("Commands:")[2].splitlines()
    assert not [line for line in summaries if line.endswith("...")]
    assert "\b" not in shown.stdout
