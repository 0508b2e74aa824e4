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
                return f"refused: {counted(count, 'invalid line')}"
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

    def needs(self) -> list[str]:
        """What a person should look at, one sentence each."""
        found = [f"{file.claim['name']}: {file.trouble}" for file in self.files if file.trouble]
        counts = self.counts()
        found += [
            f"{counted(counts[name], 'record')} {name}" for name in ("errored", "expired", "canceled") if counts[name]
        ]
        if counts["truncated"]:
            found.append(f"{counted(counts['truncated'], 'answer')} cut at the longest length")
        if counts["unattested"]:
            found.append(f"{counted(counts['unattested'], 'outcome')} by the bridge's word and not the enclave's")
        if self.left:
            found.append(f"{counted(self.left, 'file')} still being written when the run stopped picking up")
        return found + [f"not told: {who}" for who in self.untold]


def counted(number: int, what: str) -> str:
    """So many of a thing, in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


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
