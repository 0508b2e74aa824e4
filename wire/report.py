"""What an enclave tells the parent about its own state: classes and coarse units, since the parent may be hostile.

No field can hold a figure finer than it may be known (`docs/adr/0036-what-an-enclave-reports.md`): a rate or a count is
a *grade*, 0 for none and else the smallest power of two, from a least one on, that is not below it.
"""

from dataclasses import dataclass
from typing import Final

from wire.fields import Fields

LEAST_SEQUENCES: Final = 8
"""Sequences that grade 1 stands for; fewer are not told apart, so that no single record shows."""
LEAST_TOKENS: Final = 8
"""Tokens a second that grade 1 stands for."""
LEAST_RESTARTS: Final = 1
MAX_GRADE: Final = 20
OCCUPANCY_PARTS: Final = 8
MEMORY_UNIT: Final = 64 * 1024 * 1024
"""Bytes."""
MAX_MEMORY: Final = 1 << 18
"""Units; 16 TiB."""


@dataclass(frozen=True, slots=True)
class Report:
    """The whole enclave over the last interval: of no connection, job or tenant.

    `ready`: the engine runs. `tokens`: grade of generated tokens a second. `occupancy`: mean share of the batch that
    was filled, in eighths, rounded up. `sequences`, `waiting`: grades of the records that are unfinished, and of those
    that the engine has no room for yet. `restarts`: grade of the engine's restarts since the enclave began. `memory`:
    resident memory of the enclave's processes in units, rounded up.
    """

    ready: bool
    tokens: int
    occupancy: int
    sequences: int
    waiting: int
    restarts: int
    memory: int

    def values(self) -> list[int]:
        """The fields in their order."""
        return [
            int(self.ready),
            self.tokens,
            self.occupancy,
            self.sequences,
            self.waiting,
            self.restarts,
            self.memory,
        ]


def read_report(fields: Fields) -> Report:
    """A report, each field within its classes."""
    return Report(
        ready=fields.number("ready", high=1) == 1,
        tokens=fields.number("tokens", high=MAX_GRADE),
        occupancy=fields.number("occupancy", high=OCCUPANCY_PARTS),
        sequences=fields.number("sequences", high=MAX_GRADE),
        waiting=fields.number("waiting", high=MAX_GRADE),
        restarts=fields.number("restarts", high=MAX_GRADE),
        memory=fields.number("memory", high=MAX_MEMORY),
    )


def grade(value: float, least: int) -> int:
    """The grade of a rate or count that is not below 0."""
    if value <= 0:
        return 0
    found = 1
    while found < MAX_GRADE and value > bound(found, least):
        found += 1
    return found


def bound(grade: int, least: int) -> int:
    """The most that a grade stands for."""
    return 0 if grade == 0 else least << (grade - 1)


def parts(value: float, unit: float, most: int) -> int:
    """So many whole units as cover a value, at most `most`."""
    return min(most, max(0, -int(-value // unit)))
