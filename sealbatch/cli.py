"""The `sealbatch` command: its verbs, the options that all share, and the one place where errors end."""

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from typer.exceptions import TyperException
from typer.main import get_command, get_group

from sealbatch.exits import Exit
from sealbatch.face import Face, complain, installed
from sealbatch.terminal.help import Group, verb

VERBS: Final[dict[str, dict[str, str]]] = {
    "Ask and read": {
        "run": "run",
        "ask": "ask",
        "validate": "validate",
        "submit": "submit",
        "status": "status",
        "wait": "wait",
        "fetch": "fetch",
        "verify": "verify",
        "list": "listing",
        "cancel": "cancel",
        "retry": "retry",
        "purge": "purge",
    },
    "Let it run at night": {"schedule": "schedule", "worker": "worker", "beat": "beat", "top": "top"},
    "Operate": {
        "doctor": "doctor",
        "support-bundle": "support_bundle",
        "plan": "plan",
        "bridge": "bridge",
        "enclave": "enclave",
        "dlq": "dlq",
        "sweep": "sweep",
        "serve": "serve",
        "policy": "policy",
    },
    "Build and measure": {"image": "image", "model": "model", "bench": "bench"},
    "On this machine": {"dev": "dev", "completion": "completion"},
}
"""Heading, verb, and the module in `sealbatch.verbs` that has it: as `app` if it has verbs of its own, else `command`.

A module is imported when its verb is asked for: no verb, and no completion, pays for what another one needs.
"""
HEADINGS: Final = {name: heading for heading, verbs in VERBS.items() for name in verbs}
_WORDS: Final = (
    (re.compile(r"^Invalid value for '([^']*)': (?:Value error, )?"), r"\1: "),
    (re.compile(r"'([^']*)' is not one of "), r"\1 is none of "),
    (re.compile(r"'(\w[\w.-]*)'(?=, '|\.?$)"), r"\1"),
    (re.compile(r"Input should be greater than or equal to"), "must be at least"),
    (re.compile(r"Input should be less than or equal to"), "must be at most"),
    (re.compile(r"Input should be a valid integer.*"), "must be a whole number"),
    (re.compile(r"Input should be a valid number.*"), "must be a number"),
)
"""What typer and pydantic say, and what we say."""
EXAMPLES: Final = """\
# without an AWS account: the whole system, shown on this machine
sealbatch dev demo
# answers to a file of questions, each line matched to its own
sealbatch run questions.jsonl -o answers.jsonl"""


@cache
def load(name: str) -> Any:
    """The command of a verb."""
    heading = HEADINGS[name]
    module = import_module(f"sealbatch.verbs.{VERBS[heading][name]}")
    if hasattr(module, "app"):
        command: Any = get_group(module.app)
    else:
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        verb(app, module.EXAMPLES, name)(installed(name, module.command))
        command = get_command(app)
    command.name = name
    command.rich_help_panel = heading
    return command


class _Loaded(Mapping[str, Any]):
    """Every verb's command."""

    def __getitem__(self, name: str) -> Any:
        return load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(HEADINGS)

    def __len__(self) -> int:
        return len(HEADINGS)


class _Root(Group):
    """`sealbatch` itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast("Any", _Loaded())  # nobody adds to it


app = typer.Typer(
    name="sealbatch",
    cls=_Root,
    help="Bulk answers from a language model to questions that nobody else may see.",
    epilog=EXAMPLES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from sealbatch import __version__

        typer.echo(f"sealbatch {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Configuration, if not ./sealbatch.toml, the user's or a running stack's.",
            readable=False,  # said where it is read
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Put a setting over the file's; may be given again."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No talk and no progress; errors are said.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, in ids and counts.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options that stand before the verb."""
    import logging

    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # Libraries log requests, and requests hold what we carry.
    logging.getLogger("sealbatch").setLevel(logging.INFO if verbose else logging.CRITICAL)
    for library in ("boto3", "botocore", "urllib3", "s3transfer"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    context.obj = Face(config, tuple(assignments or ()), quiet=quiet)


def make_command() -> Any:
    """The command with all its verbs; `sealbatch completion` is the one way to complete it."""
    command = get_command(app)
    command.params = [param for param in command.params if param.name not in {"install_completion", "show_completion"}]
    return command


def as_ours(message: str) -> str:
    """Typer's words for wrong usage, spelled as all other errors are."""
    for pattern, words in _WORDS:
        message = pattern.sub(words, message)
    first = message[:1].lower() if message[1:2].islower() else message[:1]
    return f"{first}{message[1:].removesuffix('.')}"


def main() -> None:
    """Run the command; `sealbatch.__main__` has seen that it can."""
    try:
        code = make_command()(prog_name="sealbatch", standalone_mode=False)
    except typer.Abort:
        complain("nothing was done")
        code = Exit.INTERRUPTED
    except TyperException as error:
        context = getattr(error, "ctx", None)
        complain(as_ours(error.format_message()), f"{context.command_path if context else 'sealbatch'} --help")
        code = error.exit_code
    sys.exit(code)
