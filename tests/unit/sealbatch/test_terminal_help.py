"""Every verb's `--help`: examples first and true, 80 columns, and nothing heavy loaded for it."""

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typed
import typer

from sealbatch.cli import make_command
from sealbatch.exits import Exit
from sealbatch.verbs.asking import MAX_TOKENS
from wire import payload

WIDTH = 80
COMMAND = make_command()


def verbs(command: Any = COMMAND, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every verb, groups and the command itself included."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*path, name))


def context_of(path: tuple[str, ...]) -> typer.Context:
    """A verb with its parents, as if it had been typed without anything."""
    context = COMMAND.make_context("sealbatch", [], resilient_parsing=True)
    for name in path:
        context = context.command.commands[name].make_context(name, [], parent=context, resilient_parsing=True)
    return context


VERBS = list(verbs())


def help_of(path: tuple[str, ...]) -> list[str]:
    """Its help, line by line."""
    context = context_of(path)
    return context.command.get_help(context).splitlines()


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_help_fits_and_begins_with_an_example(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage, one line of what it does, then the examples; all of it in 80 columns."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    lines = help_of(path)
    assert [line for line in lines if len(line) > WIDTH] == []
    summary = lines.index("") + 1
    assert lines[summary].endswith("."), "one line says what the verb does"
    assert lines[summary + 1] == ""
    assert lines[summary + 2] == "Examples:"
    assert any(f"sealbatch {' '.join(path)}".strip() in line for line in lines[summary + 3 :])


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_example_parses(path: tuple[str, ...]) -> None:
    """As the command itself parses it; at least one is of this very verb."""
    typed_words = [words for line in context_of(path).command.examples for words in typed.simple_commands(line)]
    assert not [(words, why) for words in typed_words if (why := typed.fault(words))]
    assert any(tuple(words[1 : len(path) + 1]) == path for words in typed_words if words[0] == "sealbatch")


@pytest.mark.parametrize("path", [path for path in VERBS if path], ids=" ".join)
def test_every_parameter_says_what_it_is(path: tuple[str, ...]) -> None:
    """Each has words, and each that takes a value names it."""
    for param in context_of(path).command.params:
        assert param.help, param.name
        if not getattr(param, "is_flag", False):
            assert param.metavar, param.name


def test_the_limit_in_the_help_is_the_wires() -> None:
    """It is written down twice, so that no help loads the cryptography."""
    assert payload.MAX_TOKENS == MAX_TOKENS


def test_help_and_completion_load_neither_the_model_stack_nor_aws_nor_cryptography() -> None:
    """They answer at once, on any machine."""
    code = (
        "import sys, sealbatch.cli as cli\n"
        "command = cli.make_command()\n"
        "context = command.make_context('sealbatch', [], resilient_parsing=True)\n"
        "command.get_help(context); command.shell_complete(context, '')\n"
        "heavy = {'torch', 'transformers', 'boto3', 'botocore', 'cryptography', 'celery', 'moto'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=120)
    assert done.stdout.decode().strip() == "[]", done.stdout


SERVICES = {("worker",), ("beat",), ("bridge",), ("enclave", "worker"), ("top",), ("completion",)}
"""They run until they are told to end; and what a shell reads has no talk in it."""
ELSEWHERE = {("enclave", "size"): "sealbatch.verbs.enclave_size", ("dev", "demo-nightly"): "devstack.nightly_demo"}
"""Verbs that leave their last words to a helper."""


@pytest.mark.parametrize("path", [path for path in VERBS if path and path not in SERVICES], ids=" ".join)
def test_every_verb_names_the_next_one(path: tuple[str, ...]) -> None:
    """A person who has typed one knows what to type then."""
    command = context_of(path).command
    if hasattr(command, "commands"):
        return
    body = inspect.unwrap(command.callback)
    source = inspect.getsource(importlib.import_module(ELSEWHERE[path]) if path in ELSEWHERE else body)
    assert "next_step(" in source or "name_next(" in source


@pytest.mark.parametrize("path", [(), ("dlq",), ("schedule",)], ids=" ".join)
def test_what_needs_a_verb_shows_its_verbs(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """As its help does; `sealbatch` alone said that a command is missing. It is wrong usage still."""
    assert COMMAND(path, prog_name="sealbatch", standalone_mode=False) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == help_of(path)


@pytest.mark.parametrize("words", [("image", "measure", "x"), ("verify", "x"), ("policy", "lint", "x")])
def test_a_file_that_may_not_be_read_is_told_by_who_opens_it(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 77, as the exit codes say: some verbs ended with 2, since typer had looked first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").touch()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    COMMAND.make_context("sealbatch", ["--config", "x", "list"])
    context_of(words[:-1]).command.make_context(words[-2], [words[-1]])
