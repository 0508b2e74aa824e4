"""What stands in a document to be typed, held against the parsers that would read it. Nothing is run."""

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import typer
from aws_typed import aws_fault

from sealbatch.cli import make_command

_HEREDOC: Final = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_TO_DESCRIPTOR: Final = re.compile(r"(?<!\S)\d?>&\d|(?<!\S)\d(?=[<>])")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
_BEFORE: Final = {"!", "do", "else", "exec", "if", "sudo", "then", "time", "until", "while"}
_OPTION: Final = re.compile(r"--?[a-z][a-z0-9-]*")


def simple_commands(script: str) -> Iterator[list[str]]:
    """The words of each simple command of a shell script, without redirections and assignments.

    Raises:
        ValueError: a quote is left open.
    """
    end, begun = None, ""
    for line in script.replace("\\\n", " ").splitlines():
        if end is not None:
            end = None if line.strip() == end else end
            continue
        heredoc = _HEREDOC.search(line)
        end = heredoc[2] if heredoc else None
        begun += line[: heredoc.start()] if heredoc else line
        try:
            yield from _split(begun)
        except ValueError:  # a quote that goes on in the next line
            begun += "\n"
        else:
            begun = ""
    if begun:
        raise ValueError("a quote is left open")


def _split(text: str) -> list[list[str]]:
    lexer = shlex.shlex(_TO_DESCRIPTOR.sub(" ", text), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    redirected = False
    for word in lexer:
        if set(word) <= set("<>&") and word not in {"&", "&&"}:
            redirected = True
        elif set(word) <= set("();|&"):
            commands.append([])
        elif redirected:
            redirected = False
        elif commands[-1] or not (word in _BEFORE or _ASSIGNMENT.match(word)):
            commands[-1].append(word)
    return [words for words in commands if words]


def fault(words: Sequence[str]) -> str | None:
    """What is wrong with a command that is ours or AWS's; None if nothing is, or if it is another's."""
    match words:
        case ["sealbatch", *rest]:
            return _sealbatch_fault(rest)
        case ["aws", *rest]:
            return aws_fault(rest)
        case ["make", *rest]:
            targets = [word for word in rest if "=" not in word and not word.startswith("-")]
            return next((f"make has no target {word}" for word in targets if word not in _targets()), None)
        case _:
            return None


@cache
def _root() -> Any:
    return make_command()


@cache
def _targets() -> frozenset[str]:
    from pages import ROOT

    return frozenset(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def _sealbatch_fault(words: list[str]) -> str | None:
    """Parse as the command does, group by group, and run nothing."""
    command, name, parent = _root(), "sealbatch", None
    try:
        while True:
            context = command.make_context(name, list(words), parent=parent)
            if not hasattr(command, "commands"):
                return None
            rest = [*context._protected_args, *context.args]  # noqa: SLF001 - where click itself keeps a verb
            name, command, words = command.resolve_command(context, rest)
            parent = context
    except typer.Exit:
        return None  # --help, --version
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())


def span_fault(text: str) -> str | None:
    """What is wrong with a piece of code in a sentence: verbs and options must exist; the rest may be left out."""
    words = text.split()
    if words[0] == "make":
        return fault(words[:2]) if len(words) > 1 and words[1].islower() else None
    if words[0] != "sealbatch":
        return None
    command = _root()
    known = set(_options(command))
    for word in words[1:]:
        members = getattr(command, "commands", {})
        if members and not word.startswith("-"):
            names = word.split("|")
            if unknown := [name for name in names if name not in members]:
                return None if not re.fullmatch(r"[a-z-]+", unknown[0]) else f"there is no {unknown[0]}"
            command = members[names[0]]
            known |= set(_options(command))
    used = {word for word in words if _OPTION.fullmatch(word)}
    return next((f"there is no option {option}" for option in sorted(used - known)), None)


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    yield from ("--help", "-h")
