"""The schedules' clock: what a file says of the time, and what the machine's clock says then."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sealbatch.nightly.clock import VARIABLE, FileClock, SystemClock, entry_clock

EVENING = datetime(2020, 1, 1, 22, 0, tzinfo=UTC)


def clock(tmp_path: Path, text: str, *, age: float = 0) -> FileClock:
    """A clock whose file was written `age` seconds ago."""
    path = tmp_path / "clock"
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)
    return FileClock(path)


def test_it_stands_or_runs(tmp_path: Path) -> None:
    """Without a speed it stands; with one it runs since the file was written."""
    assert clock(tmp_path, EVENING.isoformat(), age=100).now() == EVENING
    assert clock(tmp_path, f"{EVENING.isoformat()} x5", age=100).now() - EVENING >= timedelta(seconds=500)


def test_a_moment_by_the_machines_clock(tmp_path: Path) -> None:
    """As far from the machine's present as it is from the schedule's."""
    made = clock(tmp_path, EVENING.isoformat())
    before = datetime.now(UTC)
    there = made.to_machine(EVENING + timedelta(hours=6))
    assert before <= there - timedelta(hours=6) <= datetime.now(UTC)
    assert SystemClock().to_machine(EVENING) == EVENING


def test_a_moment_without_a_zone_is_refused(tmp_path: Path) -> None:
    """Nobody knows which it is."""
    with pytest.raises(ValueError, match="no time zone"):
        clock(tmp_path, "2020-01-01T22:00:00").now()


def test_a_program_takes_the_file_that_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the environment; without it, the machine's clock."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert isinstance(entry_clock(), SystemClock)
    clock(tmp_path, EVENING.isoformat())
    monkeypatch.setenv(VARIABLE, str(tmp_path / "clock"))
    assert entry_clock().now() == EVENING
