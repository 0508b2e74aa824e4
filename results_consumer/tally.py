"""Counts what is fetched."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from results_consumer.output import OutputLine
from wire.merkle import MerkleTree
from wire.payload import Outcome


@dataclass(frozen=True, slots=True)
class FetchSummary:
    """What a job came to. The five outcomes add up to `records`, whatever was filtered; `written` lines went out.

    `unattested` of them have no word of the enclave. `error_codes` are the codes of records that failed with how often
    each occurs, most frequent first. `model` is `name@sha256:digest`, or "" if nothing was answered. `ignored` counts
    foreign objects beside true ones. `receipts` were verified, and `root` stands for all questions and outcomes.
    """

    job: str
    records: int
    succeeded: int
    truncated: int
    errored: int
    expired: int
    canceled: int
    unattested: int
    prompt_tokens: int
    completion_tokens: int
    error_codes: tuple[tuple[str, int], ...]
    model: str
    ignored: int
    written: int
    receipts: int
    root: bytes

    @property
    def all_succeeded(self) -> bool:
        """Whether each record has a complete and attested answer."""
        return self.succeeded == self.records and not self.unattested


class Tally:
    """Adds up the lines of a job and the parts that they came in, in their order and in constant memory."""

    def __init__(self) -> None:
        self._outcomes: Counter[Outcome] = Counter()
        self._codes: Counter[str] = Counter()
        self._unattested = 0
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._model = ""
        self.ignored = 0
        self.written = 0
        self._receipts = 0
        self._tree = MerkleTree()

    @property
    def records(self) -> int:
        """Records so far."""
        return self._outcomes.total()

    def add(self, line: OutputLine) -> None:
        """Count a record's line."""
        self._outcomes[line.outcome] += 1
        self._unattested += not line.attested
        self._prompt_tokens += line.prompt_tokens
        self._completion_tokens += line.completion_tokens
        self._model = self._model or line.model
        if line.error is not None:
            self._codes[line.error.code] += 1

    def add_part(self, leaf: bytes, *, receipt: bool) -> None:
        """Count a part by its leaf (`completeness.leaf_of`), and whether it has a receipt."""
        self._receipts += receipt
        self._tree.append(leaf)

    def merge(self, state: dict[str, Any]) -> None:
        """Add what another tally's `state` says."""
        self._outcomes.update({Outcome(name): count for name, count in state["outcomes"].items()})
        self._codes.update(state["codes"])
        self._unattested += state["unattested"]
        self._prompt_tokens += state["prompt_tokens"]
        self._completion_tokens += state["completion_tokens"]
        self._model = self._model or state["model"]
        self.ignored += state["ignored"]
        self.written += state["written"]

    def state(self) -> dict[str, Any]:
        """All counts of lines, for JSON."""
        return {
            "outcomes": {str(outcome): count for outcome, count in self._outcomes.items()},
            "codes": dict(self._codes),
            "unattested": self._unattested,
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": self._completion_tokens,
            "model": self._model,
            "ignored": self.ignored,
            "written": self.written,
        }

    @property
    def outcomes(self) -> dict[str, int]:
        """Records so far by outcome; those that occur."""
        return {str(outcome): self._outcomes[outcome] for outcome in Outcome if self._outcomes[outcome]}

    def summary(self, job: str) -> FetchSummary:
        """What it came to."""
        return FetchSummary(
            job=job,
            records=self.records,
            succeeded=self._outcomes[Outcome.SUCCEEDED],
            truncated=self._outcomes[Outcome.TRUNCATED],
            errored=self._outcomes[Outcome.ERRORED],
            expired=self._outcomes[Outcome.EXPIRED],
            canceled=self._outcomes[Outcome.CANCELED],
            unattested=self._unattested,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            error_codes=tuple(self._codes.most_common()),
            model=self._model,
            ignored=self.ignored,
            written=self.written,
            receipts=self._receipts,
            root=self._tree.root(),
        )
