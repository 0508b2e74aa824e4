"""A nightly schedule fires once a night, whatever the clocks of its time zone do."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealbatch.nightly.cron import Cron

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # shifts by half an hour
    "America/St_Johns",
    "Africa/Cairo",  # at midnight
    "Asia/Kolkata",
    "UTC",
)
zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.integers(1_577_836_800, 2_051_222_400).map(lambda second: datetime.fromtimestamp(second, UTC))


@settings(max_examples=30, deadline=None)
@given(zones, st.integers(0, 23), st.integers(0, 59), moments)
def test_a_daily_schedule_fires_once_on_every_date(zone: ZoneInfo, hour: int, minute: int, start: datetime) -> None:
    """Not twice in autumn, not left out in spring: over a year, each local date has exactly one firing."""
    cron = Cron(f"{minute} {hour} * * *", zone)
    firings = list(islice(cron.after(start), 366))
    dates = Counter(firing.astimezone(zone).date() for firing in firings)
    assert set(dates.values()) == {1}
    assert all(later - sooner == timedelta(days=1) for sooner, later in pairwise(sorted(dates)))


@settings(max_examples=40, deadline=None)
@given(zones, st.sampled_from(["0 2 * * *", "30 2 * * *", "*/20 * * * *", "0 1,2,3 * * *", "15 2 * * SUN"]), moments)
def test_it_does_not_matter_when_one_begins_to_look(zone: ZoneInfo, expression: str, start: datetime) -> None:
    """The firings after a moment are those after an earlier moment, as far as they are later: none lost, none new."""
    cron = Cron(expression, zone)
    firings = list(islice(cron.after(start), 40))
    assert all(sooner < later for sooner, later in pairwise(firings))
    for begin in (firings[0] - timedelta(seconds=1), firings[0], firings[20] - timedelta(minutes=1), firings[20]):
        assert list(cron.between(begin, firings[-1])) == [firing for firing in firings if firing > begin]


@pytest.mark.parametrize(
    ("expression", "date", "utc"),
    [
        ("30 2 * * *", "2027-03-13", "2027-03-13 07:30"),
        ("30 2 * * *", "2027-03-14", "2027-03-14 07:00"),  # 02:30 does not exist: right after, at 03:00 EDT
        ("30 2 * * *", "2027-03-15", "2027-03-15 06:30"),
        ("30 1 * * *", "2027-11-06", "2027-11-06 05:30"),
        ("30 1 * * *", "2027-11-07", "2027-11-07 05:30"),  # 01:30 comes twice: the first, in EDT
        ("30 1 * * *", "2027-11-08", "2027-11-08 06:30"),
    ],
)
def test_both_changes_of_the_clock_in_new_york(expression: str, date: str, utc: str) -> None:
    """The nights around them, by the minute."""
    zone = ZoneInfo("America/New_York")
    begin = datetime.fromisoformat(date).replace(tzinfo=zone)
    firings = list(Cron(expression, zone).between(begin, begin + timedelta(hours=23, minutes=59)))
    assert [firing.strftime("%Y-%m-%d %H:%M") for firing in firings] == [utc]


def test_an_hourly_schedule_fires_in_both_repeated_hours() -> None:
    """Every real hour has its firing: 25 on the day of autumn's change, 23 on that of spring's."""
    zone = ZoneInfo("Europe/Berlin")
    for date, hours in (("2026-10-25", 25), ("2026-03-29", 23)):
        begin = datetime.fromisoformat(date).replace(tzinfo=zone).astimezone(UTC) - timedelta(seconds=1)
        end = begin + timedelta(hours=hours)
        assert len(list(Cron("0 * * * *", zone).between(begin, end))) == hours


@pytest.mark.parametrize("expression", ["", "0 2 * *", "0 0 2 * * *", "0 25 * * *", "x 2 * * *", "0 2 31 2 *"])
def test_what_is_no_nightly_expression_is_refused(expression: str) -> None:
    """With a reason, and not at night."""
    with pytest.raises(ValueError, match="cron"):
        Cron(expression, ZoneInfo("UTC"))
