"""The page of the Python API, from its docstrings."""

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any, Final

import sealbatch
from producer.validate import ValidationReport
from results_consumer.offline import ArchiveReport
from results_consumer.status import JobStatus
from results_consumer.tally import FetchSummary
from sealbatch.canceler import Canceled
from wire.errors import SealbatchError

HEAD: Final = """# Python API

`import sealbatch` gives these names, and loads each of them when it is asked for. [Ask from Python](../how-to/python.md) shows them at work.

"""
FACES: Final = ("Client", "Job", "Questions", "Result", "Release", "Progress", "AsyncClient", "AsyncJob")
FUNCTIONS: Final = ("validate", "verify", "read_release")
INNER: Final = frozenset(
    {"again", "ask_again", "fetch_into", "name", "of", "of_line", "open", "records", "send", "tickets"}
)
"""What the command and the endpoint use beside the rest."""
GIVEN: Final = (JobStatus, FetchSummary, Canceled, ValidationReport, ArchiveReport)
_SECTION: Final = re.compile(r"^(Args|Raises):\n((?:    .*\n?|\n)+)", re.MULTILINE)
_EXAMPLE: Final = re.compile(r"(?:^>>> .*\n?(?:^(?!>>> ).+\n?)*)+", re.MULTILINE)


def python_page() -> str:
    """Classes with what they can do, functions, errors."""
    parts = [HEAD]
    for name in FACES:
        parts += [f"## {name}\n\n", *_described(name, getattr(sealbatch, name)), *_members(getattr(sealbatch, name))]
    parts.append("## Functions\n\n")
    for name in FUNCTIONS:
        parts += _described(name, getattr(sealbatch, name))
    parts.append("## What calls give back\n\n")
    for kind in GIVEN:
        parts += _described(kind.__name__, kind)
    parts.append("## Errors\n\n| error | when |\n|---|---|\n")
    for name in sealbatch.__all__:
        kind = getattr(sealbatch, name)
        if isinstance(kind, type) and issubclass(kind, SealbatchError):
            parts.append(f"| `{name}` | {' '.join(_doc(kind).partition(chr(10) * 2)[0].split())} |\n")
    return "".join(parts)


def _members(kind: type) -> Iterator[str]:
    for name, member in vars(kind).items():
        if name.startswith("_") or name in INNER:
            continue
        if isinstance(member, property):
            yield f"`.{name}`: {' '.join(_doc(member).split())}\n\n"
        elif isinstance(member, classmethod):
            yield from _described(f"{kind.__name__}.{name}", member.__func__)
        elif inspect.isfunction(member) and not kind.__name__.startswith("Async"):
            yield from _described(f".{name}", member)
    if kind.__name__.startswith("Async"):
        own = [f"`.{name}`" for name, member in vars(kind).items() if inspect.isfunction(member) and name[0] != "_"]
        yield f"{', '.join(own)}: as those of `{kind.__name__.removeprefix('Async')}`.\n\n"


def _described(name: str, call: Any) -> Iterator[str]:
    yield f"```text\n{textwrap.fill(name + _arguments(call), 110, subsequent_indent='    ')}\n```\n\n"
    text = _doc(call)
    examples = [found[0].strip() for found in _EXAMPLE.finditer(text)]
    text = _EXAMPLE.sub("", text)
    sections = {found[1]: inspect.cleandoc(found[2]) for found in _SECTION.finditer(text + "\n")}
    yield f"{_SECTION.sub('', text + chr(10)).strip()}\n\n"
    if "Args" in sections:
        yield from (f"- `{said[1]}`: {' '.join(said[2].split())}\n" for said in _arguments_said(sections["Args"]))
        yield "\n"
    if "Raises" in sections:
        yield f"Raises {' '.join(sections['Raises'].removeprefix('As ').split())}\n\n".replace(
            "Raises `", "Raises as `"
        )
    yield from (f"```python\n{example}\n```\n\n" for example in examples)


def _arguments_said(text: str) -> Iterator[re.Match[str]]:
    return re.finditer(r"^(\w+): ((?:.*\n?)(?:    .*\n?)*)", text, re.MULTILINE)


def _arguments(call: Any) -> str:
    """The arguments with their defaults, without types, which an editor shows."""
    found = inspect.signature(call)
    kept = [
        one.replace(annotation=inspect.Parameter.empty)
        for one in found.parameters.values()
        if one.name not in {"self", "cls"}
    ]
    text = str(found.replace(parameters=kept, return_annotation=inspect.Signature.empty))
    return re.sub(r"<[^<>]*function (\w+)[^<>]*>", r"\1", text)


def _doc(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")
