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


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ([(4, "case-a")], "missing input line 4; unexpected record 0"),
        ([(3, "case-b")], "missing input line 3; unexpected record 0"),
        ([], "unexpected record 0"),
        ([(3, "case-a"), (5, "case-b")], "missing input line 5"),
        ([(2, "case-x"), (3, "case-a")], "missing input line 2"),
    ],
)
def test_another_set_of_records_is_an_integrity_failure(pairs: list[tuple[int, str]], named: str) -> None:
    """Line and custom_id must both agree, and be there; what differs is named by its number, and no text is quoted."""
    match = InputMatch(iter(pairs))
    match.matched(LINE)
    with pytest.raises(IntegrityError) as caught:
        match.end()
    assert caught.value.check == Check.INPUT
    assert str(caught.value).endswith(f"failed at {named}")
    assert "case-" not in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_repeated_record_is_named_as_such() -> None:
    """The second line of the same input line is no unexpected one."""
    match = InputMatch(iter([(3, "case-a"), (5, "case-b")]))
    match.matched(LINE)
    match.matched(replace(LINE, number=1))
    with pytest.raises(IntegrityError, match="missing input line 5; repeated record 1"):
        match.end()


def test_two_records_in_each_others_place_are_an_integrity_failure() -> None:
    """The same set in another order is not the order that was promised."""
    other = attested_line(ORIGIN, Result(1, 5, "case-b", Outcome.SUCCEEDED, "SECRET", "stop", 1, 1))
    match = InputMatch(iter([(5, "case-b"), (3, "case-a")]))
    match.matched(LINE)
    match.matched(other)
    with pytest.raises(IntegrityError, match="in another order"):
        match.end()


def test_only_the_first_differences_are_named_and_all_are_counted() -> None:
    """A job of a million lines does not fill the screen."""
    match = InputMatch(iter([(n, "x") for n in range(1, 31)]))
    with pytest.raises(IntegrityError, match=r"missing input lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more"):
        match.end()
