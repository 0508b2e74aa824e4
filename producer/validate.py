"""Checks a whole input and counts it, without keys and without sending anything."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from producer.fields import text_bytes
from producer.forms import InputForm
from producer.lines import LineSource
from producer.problem import Problem
from producer.questions import Notes, read_records
from wire.payload import Params, Record

DEFAULT_MAX_PROBLEMS: Final = 20
PROGRESS_EVERY: Final = 1024
"""Lines between two calls of a progress callback."""


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What an input holds.

    `records` are its valid questions, `problems` the first of its `problem_count` problems; `bytes` counts the UTF-8
    bytes of all questions, `largest` those of the largest. The last two are `producer.questions.Notes`.
    """

    records: int
    problems: tuple[Problem, ...]
    problem_count: int
    bytes: int
    largest: int
    named_models: int
    ssn_like_ids: int

    @property
    def valid(self) -> bool:
        """Whether every line is a question."""
        return self.problem_count == 0


class Tally:
    """Counts records and problems as they pass and keeps the first `max_problems` problems."""

    def __init__(self, max_problems: int = DEFAULT_MAX_PROBLEMS) -> None:
        self.notes = Notes()
        self.records = 0
        self.problem_count = 0
        self.fatal = False
        self._bytes = 0
        self._largest = 0
        self._problems: list[Problem] = []
        self._max_problems = max_problems

    def add(self, item: Record | Problem) -> None:
        """Count what `read_records` gave; a record that stands for an invalid line counts as its problem did."""
        if isinstance(item, Problem):
            self.problem_count += 1
            self.fatal = self.fatal or item.fatal
            if len(self._problems) < self._max_problems:
                self._problems.append(item)
        elif item.problem is None:
            self.records += 1
            size = sum([text_bytes(message.content) for message in item.messages])
            self._bytes += size
            self._largest = max(self._largest, size)

    def counted(self, items: Iterable[Record | Problem], progress: Callable[[int], None]) -> Iterator[Record | Problem]:
        """The same items, each counted; `progress` is told the number of lines now and then."""
        for done, item in enumerate(items, 1):
            self.add(item)
            if done % PROGRESS_EVERY == 0:
                progress(done)
            yield item

    def report(self) -> ValidationReport:
        """What was counted so far."""
        return ValidationReport(
            records=self.records,
            problems=tuple(self._problems),
            problem_count=self.problem_count,
            bytes=self._bytes,
            largest=self._largest,
            named_models=self.notes.named_models,
            ssn_like_ids=self.notes.ssn_like_ids,
        )


def validate(
    source: LineSource,
    form: InputForm,
    defaults: Params,
    *,
    max_problems: int = DEFAULT_MAX_PROBLEMS,
    progress: Callable[[int], None] = lambda _: None,
) -> ValidationReport:
    """Read all of `source`; `progress` is told the number of lines read now and then.

    Raises:
        OSError: reading failed.
    """
    tally = Tally(max_problems)
    for _ in tally.counted(read_records(source, form, defaults, notes=tally.notes), progress):
        pass
    return tally.report()
