"""Why an input is refused, for its record: lines and codes, and nothing that quotes them."""

from collections.abc import Iterable
from typing import Any, Final

from producer.problem import Problem
from sealbatch.nightly.shelf import Record

MOST: Final = 20
"""Problems that are told one by one."""


def problem(line: int, code: str, param: str | None, message: str) -> Record:
    """A problem as a record holds it."""
    return {"line": line, "code": code, "param": param, "message": message}


def problems(found: Iterable[Problem]) -> list[Record]:
    """Those that the producer found."""
    return [problem(one.line, str(one.code), one.param, one.message) for one in found]


def refusal(count: int, first: list[Record]) -> dict[str, Any]:
    """An input with `count` problems, of which the first are told."""
    return {"code": "input_invalid", "problem_count": count, "problems": first[:MOST]}
