"""What a run came to."""

from datetime import UTC, datetime

import pytest

from sealbatch.nightly.records import Attempts
from sealbatch.nightly.summary import COUNTS, FileSummary, RunSummary
from sealbatch.nightly.tell import event

NOW = datetime(2026, 11, 25, 7, tzinfo=UTC)


def run(**counts: int) -> RunSummary:
    """A finished run of one file that came to these counts."""
    delivered = dict.fromkeys(COUNTS, 0) | counts
    file = FileSummary("item", "done", {"name": "a.jsonl"}, None, None, delivered, {}, Attempts(), 0)
    return RunSummary("benefits", "2026-11-25T070000Z", NOW, NOW, (file,), left=0)


@pytest.mark.parametrize("outcome", ["errored", "expired", "canceled", "truncated", "unattested"])
def test_who_is_told_hears_of_whatever_the_report_says_needs_a_person(outcome: str) -> None:
    """The report named answers that were cut, and canceled records; the event said that nothing needs a person."""
    summary = run(records=3, succeeded=2, **{outcome: 1})
    [said] = summary.needs()
    assert said.startswith("1 ")
    assert event(summary, "run.finished")["needs_a_person"] is True


def test_a_run_that_went_well_needs_nobody() -> None:
    """In neither."""
    assert run(records=3, succeeded=3).needs() == []
    assert event(run(records=3, succeeded=3), "run.finished")["needs_a_person"] is False
