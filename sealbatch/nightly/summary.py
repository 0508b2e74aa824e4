"""What a run came to, gathered from its records: for the report, the notifications and the terminal."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sealbatch.nightly.context import Context
from sealbatch.nightly.records import Attempts, items, run_moment
from sealbatch.nightly.shelf import Record
from wire.payload import Outcome

OUTCOMES: Final = tuple(str(outcome) for outcome in Outcome)
TOKENS: Final = ("prompt_tokens", "completion_tokens")
COUNTS: Final = ("records", *OUTCOMES, "unattested", *TOKENS)
"""What is counted of each delivered file."""


@dataclass(frozen=True, slots=True)
class FileSummary:
    """One file: its records as far as there are any, and the `state` that they come to."""

    item: str
    state: str
    claim: Record
    ticket: Record | None
    refused: Record | None
    delivered: Record | None
    finished: Record | None
    attempts: Attempts
    retries: int

    @property
    def job(self) -> str:
        """The id of its job, or empty."""
        return str(self.ticket["job"]) if self.ticket else ""

    @property
    def trouble(self) -> str:
        """Why a person should look at it, or empty."""
        if self.refused is not None:
            if self.refused["code"] == "input_invalid":
                count = self.refused["problem_count"]
                return f"refused: {count:,} invalid line{'' if count == 1 else 's'}"
            return f"given up: {self.refused['code']}"
        if self.finished is None and self.attempts.failures:
            return self.attempts.trouble
        if self.delivered is not None and not self.delivered["succeeded"] + self.delivered["truncated"]:
            return "no record was answered"
        return ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run; `left` files in the inbox had not settled when it stopped picking up."""

    schedule: str
    run: str
    firing: datetime
    now: datetime
    files: tuple[FileSummary, ...]
    left: int
    untold: tuple[str, ...] = ()

    def counts(self) -> Counter[str]:
        """Records by outcome, and tokens, over all files."""
        total: Counter[str] = Counter()
        for file in self.files:
            if file.delivered is not None:
                total.update({name: file.delivered[name] for name in COUNTS})
        return total

    def states(self) -> Counter[str]:
        """Files by state."""
        return Counter(file.state for file in self.files)

    def finished(self) -> bool:
        """Whether every file is done or failed."""
        return all(file.finished is not None for file in self.files)

    def needs_a_person(self) -> bool:
        """Whether anything did not go by itself."""
        counts = self.counts()
        bad = counts["errored"] + counts["expired"] + counts["unattested"]
        return bool(any(file.trouble for file in self.files) or self.left or self.untold or bad)


def summarize(context: Context, run: str) -> RunSummary:
    """Read the records of a run.

    Raises:
        OSError: they cannot be read.
    """
    files = []
    for records in items(context.shelf, run):
        claim = records.get("claim")
        if claim is None:
            found = context.inbox.find(run, records.item)
            if found is None:
                continue
            claim = {"name": found.name, "digest": "", "size": found.size, "at": ""}
        ticket, refused, delivered, finished = map(records.get, ("ticket", "refused", "delivered", "finished"))
        tries = records.attempts(), records.retries()
        files.append(FileSummary(records.item, records.state(), claim, ticket, refused, delivered, finished, *tries))
    record = context.shelf.get(f"runs/{run}/run") or {}
    untold = (context.shelf.get(f"runs/{run}/untold") or {}).get("who", [])
    firing = datetime.fromisoformat(record["firing"]) if record else run_moment(run)
    files.sort(key=lambda file: (str(file.claim["name"]), file.item))
    left = int((context.shelf.get(f"runs/{run}/left") or {}).get("files", 0))
    return RunSummary(context.schedule.name, run, firing, context.now(), tuple(files), left, tuple(untold))
