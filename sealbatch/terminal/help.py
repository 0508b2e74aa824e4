"""How `--help` looks: what a verb does, how it is typed, and then what may be added, in groups, 80 columns wide."""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from sealbatch.exits import Exit

INPUT: Final = "How the input is read"
ANSWERS: Final = "How it is answered, where a line says nothing itself"
JOB: Final = "What becomes of the job"
TRUST: Final = "Whom to believe"
OUTPUT: Final = "Where it goes"
OTHERS: Final = "Options"
WIDEST: Final = 26
"""Characters of an option before its explanation goes below it."""
BEFORE: Final = "Before the verb: --config FILE, --set NAME=VALUE, --quiet, --verbose."

_RANGES: Final = (
    (re.compile(r"([^\s;\[]+)<=x<=([^\s;\]]+)"), r"\1 to \2"),
    (re.compile(r"x>=([^\s;\]]+)"), r"at least \1"),
    (re.compile(r"x<=([^\s;\]]+)"), r"at most \1"),
    # What goes without saying.
    (re.compile(r"(; )?at least 0\b(?!\.)"), ""),
    (re.compile(r"  \[\]$"), ""),
    (re.compile(r"default: \(([^()]*)\)"), r"default: \1"),
)

Body = TypeVar("Body", bound=Callable[..., Any])


class _Helped:
    """What has a help. Its epilog holds examples as they are typed; a line that begins with # explains the next one."""

    help: str | None
    epilog: str | None

    @property
    def examples(self) -> list[str]:
        """The commands among the examples, without what explains them, each on one line."""
        whole = re.sub(r"\s*\\\n\s*", " ", self.epilog or "")
        return [line for line in whole.splitlines() if line and not line.startswith("#")]

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - ours are short
        """What it does, in one line."""
        return _summary(self)[0]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options group by group."""
        _options(self, ctx, formatter)


class Verb(_Helped, TyperCommand):
    """A verb."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands in the usage line: arguments, and options that must be given too."""
        params = self.get_params(ctx)
        needed = [f"{min(p.opts, key=len)} {p.metavar}" for p in params if p.param_type_name == "option" and p.required]
        return ["[OPTIONS]", *(str(p.metavar) for p in params if p.param_type_name == "argument"), *needed]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help: summary, examples, the rest."""
        _begin(self, ctx, formatter)
        self.format_options(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(BEFORE)


class Group(_Helped, TyperGroup):
    """A verb that has verbs of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Where nothing was typed behind it, show the help."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            ctx.exit(Exit.USAGE)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help: summary, examples, the verbs, the options."""
        _begin(self, ctx, formatter)
        self.format_commands(ctx, formatter)
        self.format_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the verbs under their headings, each with its summary."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                heading = getattr(command, "rich_help_panel", None) or "Verbs"
                sections.setdefault(heading, []).append((name, _summary(command)[0]))
        widest = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(widest), summary) for name, summary in rows])


def make_group(summary: str, examples: str) -> typer.Typer:
    """A group of verbs with its help."""
    return typer.Typer(cls=Group, help=summary, epilog=examples, rich_markup_mode=None)


def verb(app: typer.Typer, examples: str, name: str | None = None) -> Callable[[Body], Body]:
    """Make a function a verb of `app`. A parameter that is a dataclass stands for the options that are its fields."""

    def add(body: Body) -> Body:
        app.command(name, cls=Verb, epilog=examples)(_spread(body))
        return body

    return add


def _spread(body: Callable[..., Any]) -> Callable[..., Any]:
    """`body` as typer takes it, which knows no groups of options: with the fields of its dataclasses for parameters."""
    params = inspect.signature(body).parameters
    groups: dict[str, Any] = {
        name: param.annotation for name, param in params.items() if dataclasses.is_dataclass(param.annotation)
    }

    @functools.wraps(body)
    def run(**given: Any) -> Any:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
        return body(**given)

    spread = [one for name, param in params.items() for one in _options_of(groups.get(name), param)]
    for info in (info for param in spread for info in getattr(param.annotation, "__metadata__", ())):
        # Who opens a file says what is wrong with it, and ends with the code for that: typer's would be wrong usage.
        info.readable = False
    run.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
    return run


def _options_of(group: Any, param: inspect.Parameter) -> Iterator[inspect.Parameter]:
    if group is None:
        yield param.replace(kind=inspect.Parameter.KEYWORD_ONLY)
    else:
        for field in dataclasses.fields(group):
            yield inspect.Parameter(field.name, param.KEYWORD_ONLY, default=field.default, annotation=field.type)


def _summary(command: Any) -> tuple[str, str]:
    summary, _, more = inspect.cleandoc(command.help or "").partition("\n\n")
    return summary.replace("\n", " "), more


def _begin(command: Any, ctx: Any, formatter: Any) -> None:
    summary, more = _summary(command)
    command.format_usage(ctx, formatter)
    formatter.write_paragraph()
    formatter.write_text(summary)
    if command.epilog:
        with formatter.section("Examples"):
            for line in command.epilog.splitlines():
                formatter.write(f"  {line}\n")
    if more:
        formatter.write_paragraph()
        formatter.write_text(more)


def _options(command: Any, ctx: Any, formatter: Any) -> None:
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            argument = param.param_type_name == "argument"
            heading = "Arguments" if argument else param.rich_help_panel or OTHERS
            name = param.metavar if argument else record[0]
            groups.setdefault(heading, []).append((name, _in_words(record[1])))
    widest = max(len(name) for rows in groups.values() for name, _ in rows if len(name) <= WIDEST)
    # What every verb has stands last.
    for heading in sorted(groups, key=lambda heading: (heading == OTHERS, heading != "Arguments")):
        with formatter.section(heading):
            formatter.write_dl([(name.ljust(widest), text) for name, text in groups[heading]], col_max=WIDEST)


def _in_words(text: str) -> str:
    """Ranges as people say them."""
    for pattern, words in _RANGES:
        text = pattern.sub(words, text)
    return text
