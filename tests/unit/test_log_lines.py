"""A warning says what happened, in ids and counts, and after a colon what it means or what to do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("wire", "aws_errors", "enclave_worker", "vsock_bridge", "producer", "results_consumer", "sealbatch")
LOUD = frozenset({"warning", "error", "critical"})
PARTS = re.compile(r"[^:]+: (.{15,}|.*%s)", re.DOTALL)


def lines() -> Iterator[tuple[str, str, str]]:
    """Place, level and text of every call of a logger."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name(id="_log" | "_LOG"), attr=level),
                        args=[ast.Constant(value=str(text)), *_],
                    ):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", level, text
                    case ast.Call(func=ast.Attribute(value=ast.Name(id="_log" | "_LOG"))):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", "computed", ""


LINES = list(lines())


def test_the_lines_are_found() -> None:
    """The check would pass over all of them, were loggers named otherwise; no text is put together beforehand."""
    named = re.compile(r"^_?\w* ?(?::.*)?= logging\.getLogger\(\"sealbatch\.", re.MULTILINE)
    files = {
        str(path) for package in PACKAGES for path in (ROOT / package).rglob("*.py") if named.search(path.read_text())
    }
    assert len(files) > 20
    assert {str(ROOT / place.rpartition(":")[0]) for place, _, _ in LINES} == files
    assert [place for place, level, _ in LINES if level == "computed"] == []


@pytest.mark.parametrize(("place", "text"), [(place, text) for place, level, text in LINES if level in LOUD])
def test_a_warning_says_what_it_means(place: str, text: str) -> None:
    """What happened comes first; and no warning is only that."""
    assert PARTS.fullmatch(text), f"{place}: {text!r} says what happened and not what it means"
