"""What is written down of a run and of each file in it, and under which names.

Run ids are firings in UTC, `2026-11-25T070000Z`; those that a person started end with `-now`. Ids sort by time.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sealbatch.nightly.shelf import Record, Shelf

MANUAL: Final = "-now"
_SHAPE: Final = "%Y-%m-%dT%H%M%SZ"

FIRST_SEEN: Final = "first-seen"
PAUSED: Final = "paused"
RESUMED: Final = "resumed"
PRUNED: Final = "pruned"


def run_id(moment: datetime, *, manual: bool = False) -> str:
    """The id of the run that fires at `moment`."""
    return moment.astimezone(UTC).strftime(_SHAPE) + (MANUAL if manual else "")


def run_moment(run: str) -> datetime:
    """When a run fired.

    Raises:
        ValueError: `run` is no run's id.
    """
    return datetime.strptime(run.removesuffix(MANUAL), _SHAPE).replace(tzinfo=UTC)


FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=30)
"""Between two tries of what fails, doubling from the first to the longest."""


def pause_after(failures: int) -> timedelta:
    """How long to wait after so many failures in a row."""
    return min(FIRST_PAUSE * (1 << min(failures, 10)), LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class Attempts:
    """`starts` counts steps that were begun and did not come back: they took their worker with them.

    `failures` counts those that failed since the last that went well, `total` all of them; `code` says why the last
    one failed. Nothing is tried before `next_at`, in ISO format.
    """

    starts: int = 0
    failures: int = 0
    total: int = 0
    code: str = ""
    next_at: str = ""

    def due(self, now: datetime) -> bool:
        """Whether it is time to try."""
        return not self.next_at or datetime.fromisoformat(self.next_at) <= now

    def begun(self) -> "Attempts":
        """With one more that has not come back yet."""
        return replace(self, starts=self.starts + 1)

    def failed(self, code: str, now: datetime) -> "Attempts":
        """With one more that came back and failed; the next is due after a pause."""
        next_at = now + pause_after(self.failures)
        return Attempts(0, self.failures + 1, self.total + 1, code, next_at.isoformat())

    @property
    def trouble(self) -> str:
        """How they failed in a row, or empty."""
        return f"{self.code}, {self.failures} tries in a row" if self.failures else ""


@dataclass(frozen=True, slots=True)
class ItemRecords:
    """The records of one file. `claim`, `ticket`, `refused`, `delivered` and `finished` are each written once."""

    shelf: Shelf
    run: str
    item: str

    def get(self, name: str) -> Record | None:
        """A record of the file's."""
        return self.shelf.get(self.name(name))

    def put_new(self, name: str, record: Record) -> Record:
        """Write a record once; what is written there now, by us or by whoever was first."""
        if self.shelf.put_new(self.name(name), record):
            return record
        return self.shelf.get(self.name(name)) or record

    def attempts(self) -> Attempts:
        """How often steps on the file were begun and failed."""
        return Attempts(**(self.get("attempts") or {}))

    def put_attempts(self, attempts: Attempts) -> None:
        """Remember it."""
        self.shelf.put(self.name("attempts"), asdict(attempts))

    def state(self) -> str:
        """`delivered`, `failed`, `stuck`, `answering` or `waiting`."""
        if (finished := self.get("finished")) is not None:
            return "delivered" if finished["done"] else "failed"
        if self.attempts().failures:
            return "stuck"
        return "answering" if self.get("ticket") is not None else "waiting"

    def range(self, number: int | str) -> "ItemRecords":
        """The records of one of its ranges."""
        return ItemRecords(self.shelf, self.run, f"{self.item}/ranges/{number}")

    def retries(self) -> int:
        """How often a step on the file or on one of its ranges failed."""
        ranges = map(self.range, self.shelf.names(self.name("ranges")))
        return sum(records.attempts().total for records in (self, *ranges))

    def name(self, name: str) -> str:
        """Where a record of the file's lies."""
        return f"runs/{self.run}/items/{self.item}/{name}"


def open_runs(shelf: Shelf) -> list[str]:
    """The runs that are not closed."""
    return shelf.names("open")


def all_runs(shelf: Shelf) -> list[str]:
    """All runs, oldest first."""
    return [name for name in shelf.names("runs") if _is_run(name)]


def items(shelf: Shelf, run: str) -> Iterator[ItemRecords]:
    """The files of a run."""
    for item in shelf.names(f"runs/{run}/items"):
        yield ItemRecords(shelf, run, item)


def _is_run(name: str) -> bool:
    try:
        run_moment(name)
    except ValueError:
        return False
    return True


def as_record(**fields: Any) -> Record:
    """A record; moments become ISO text."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}
