"""The page of the command line, from the parsers that read it."""

from collections.abc import Iterator
from typing import Any, Final

from sealbatch.cli import make_command

WIDTH: Final[dict[str, Any]] = {"terminal_width": 80, "max_content_width": 80}

HEAD: Final = """# The command line

What each verb says for itself, as it is typed: `sealbatch VERB --help`. Exit codes are [a page of their own](exit-codes.md), settings
[another](configuration.md).

"""


def commands() -> Iterator[Any]:
    """The context of every command, groups before their members, in the order of `--help`."""
    root = make_command()
    yield from _below(root.context_class(root, info_name="sealbatch", **root.context_settings, **WIDTH))


def _below(context: Any) -> Iterator[Any]:
    yield context
    for name, member in getattr(context.command, "commands", {}).items():
        if not member.hidden:
            yield from _below(member.context_class(member, info_name=name, parent=context, **WIDTH))


def cli_page() -> str:
    """The page in Markdown."""
    found = list(commands())
    rows = [
        f"| [`{one.command_path}`](#{one.command_path.replace(' ', '-')}) | {one.command.get_short_help_str(limit=200)} |"
        for one in found
        if not hasattr(one.command, "commands")
    ]
    table = "\n".join(["| command | |", "|---|---|", *rows])
    return f"{HEAD}{table}\n\n" + "\n".join(map(_section, found))


def _section(context: Any) -> str:
    return f"## {context.command_path}\n\n```text\n{context.get_help().rstrip()}\n```\n"
