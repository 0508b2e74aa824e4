"""Grades and units of an enclave's report: never below the truth, never finer than they may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import messages
from wire.codec import pack
from wire.errors import MessageError
from wire.report import LEAST_SEQUENCES, MAX_GRADE, Report, bound, grade, parts

REPORT = Report(ready=True, tokens=4, occupancy=7, sequences=8, waiting=0, restarts=1, memory=96)


@given(st.floats(0, 2.0**26), st.sampled_from([1, 8]))
def test_a_grade_is_the_least_power_of_two_that_is_not_below(value: float, least: int) -> None:
    """Up to its last one; none is told from some."""
    found = grade(value, least)
    assert (found == 0) == (value == 0)
    assert value <= bound(found, least) or found == MAX_GRADE
    assert found in {0, 1} or value > bound(found - 1, least)


def test_one_record_looks_like_eight() -> None:
    """What the parent asks alone does not show in a count."""
    assert {grade(count, LEAST_SEQUENCES) for count in range(1, 9)} == {1}
    assert grade(9, LEAST_SEQUENCES) == 2


@given(st.floats(0, 1e15), st.sampled_from([0.125, 64.0 * 2**20]))
def test_units_cover_a_value(value: float, unit: float) -> None:
    """And one fewer does not, within the most that there are."""
    found = parts(value, unit, 1000)
    assert 0 <= found <= 1000
    assert found == 1000 or found * unit >= value > (found - 1) * unit


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("value", [1 << 19, -1, 0.5, None])
def test_what_is_no_class_is_refused(place: int, value: object) -> None:
    """A finer or larger figure has no encoding."""
    values: list[object] = [9, *REPORT.values()]
    values[1 + place] = value
    with pytest.raises(MessageError):
        messages.decode(pack(values))  # type: ignore[arg-type]


@given(st.builds(Report, st.booleans(), *[st.integers(0, 8)] * 6))
def test_every_report_takes_nine_bytes(report: Report) -> None:
    """Type and seven fields, whatever they say; memory above 8 GiB takes up to four more."""
    body = messages.encode(report)
    assert messages.decode(body) == report
    assert len(body) == 9
