"""One line of input after it was read and before it has its number among the job's records."""

from typing import NamedTuple

from producer.problem import Problem
from wire.payload import Message, Params


class Draft(NamedTuple):
    """A question, or the problem that the line has instead; `custom_id` is None where none could be read."""

    line: int
    custom_id: str | None
    messages: tuple[Message, ...]
    params: Params
    problem: Problem | None = None


def broken(problem: Problem, custom_id: str | None = None) -> Draft:
    """The draft of a line that is no question."""
    return Draft(problem.line, custom_id, (), Params(), problem)
