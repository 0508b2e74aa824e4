"""Comparing the output with the input."""

from dataclasses import replace

import pytest

from results_consumer.errors import Check, IntegrityError
from results_consumer.match import InputMatch
from results_consumer.output import LineOrigin, attested_line, unattested_line
from wire.payload import ErrorCode, Outcome, Result

ORIGIN = LineOrigin("abcdefghijklmnop", 0, 0)
LINE = attested_line(ORIGIN, Result(0, 3, "case-a", Outcome.SUCCEEDED, "SECRET", "stop", 1, 1))
SILENT = unattested_line(ORIGIN, 1, Outcome.ERRORED, ErrorCode.DECRYPT_FAILED)


def test_a_matching_line_stays_and_a_silent_one_gets_its_names() -> None:
    """An unattested line takes line and custom_id from the input."""
    match = InputMatch(iter([(3, "case-a"), (5, "case-b")]))
    assert match.matched(LINE) == LINE
    assert match.matched(SILENT) == replace(SILENT, line=5, custom_id="case-b")
    match.end()


@pytest.mark.parametrize("pairs", [[(4, "case-a")], [(3, "case-b")], []])
def test_another_record_in_its_place_is_an_integrity_failure(pairs: list[tuple[int, str]]) -> None:
    """Line and custom_id must both agree, and be there; neither text is quoted."""
    with pytest.raises(IntegrityError) as caught:
        InputMatch(iter(pairs)).matched(LINE)
    assert caught.value.check == Check.INPUT
    assert "case-" not in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_an_input_with_more_records_than_the_job_is_an_integrity_failure() -> None:
    """The end of the job must be the end of the input."""
    match = InputMatch(iter([(3, "case-a"), (5, "case-b")]))
    match.matched(LINE)
    with pytest.raises(IntegrityError, match="line 5"):
        match.end()
