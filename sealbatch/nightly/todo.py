"""What is to be done next, as the queue carries it: names and ids, and never a word of content."""

from dataclasses import dataclass, field
from typing import Final

TICK: Final = "sealbatch.tick"
STEP: Final = "sealbatch.step"
RANGE: Final = "sealbatch.range"
CLOSE: Final = "sealbatch.close"

MARK: Final = "mark"
"""The header of a task that tells its work from any other."""


@dataclass(frozen=True, slots=True)
class Todo:
    """A task's name and arguments."""

    task: str
    arguments: tuple[str | int, ...] = field(default=())

    @property
    def mark(self) -> str:
        """What tells this work from any other."""
        return "/".join([self.task, *(str(argument) for argument in self.arguments)])
