"""Why an input is refused, for its record: lines and codes, and nothing that quotes them."""

from collections.abc import Iterable
from typing import Final

from producer.problem import Problem
from sealbatch.nightly.shelf import Record

MOST: Final = 20
"""Problems that are told one by one."""


def problems(found: Iterable[Problem]) -> list[Record]:
    """Problems as a record holds them."""
    return [{"line": one.line, "code": str(one.code), "param": one.param, "message": one.message} for one in found]


def refusal(count: int, first: list[Record]) -> Record:
    """An input with `count` problems, of which the first are told."""
    return {"code": "input_invalid", "problem_count": count, "problems": first[:MOST]}
