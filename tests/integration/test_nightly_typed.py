"""`sealbatch schedule` as an operator types it: what it prints, what it refuses, and with which line and code."""

import json
import subprocess
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from command import Typist

from sealbatch.exits import Exit

SCHEDULE = """
[[schedules]]
name = "{name}"
cron = "{cron}"
time_zone = "{zone}"
inbox = "{folder}/{name}/inbox"
answers = "{folder}/{name}/answers"
tell = [{{command = ["true"]}}]
"""


class Office:
    """A machine with schedules, whose clock a file sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "sealbatch.toml"
        self.config.write_text('[nightly]\nredis_url = "unix:///nowhere/redis.sock"\n')
        self._typist = Typist(folder, self.config, {"SEALBATCH_CLOCK_FILE": str(folder / "clock")})

    def add(self, name: str, cron: str, zone: str) -> None:
        """A schedule with its folders."""
        for place in ("inbox", "answers"):
            (self.folder / name / place).mkdir(mode=0o700, parents=True)
        with self.config.open("a") as file:
            file.write(SCHEDULE.format(name=name, cron=cron, zone=zone, folder=self.folder))

    def type(self, moment: str, *words: str) -> "subprocess.CompletedProcess[bytes]":
        """Type words at a moment."""
        (self.folder / "clock").write_text(moment)
        return self._typist.type("schedule", *words)

    def rows(self, moment: str, *words: str) -> list[Any]:
        """What it says on standard output."""
        done = self.type(moment, *words)
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A schedule in the hour that spring leaves out and one in the hour that autumn repeats, and an hourly one."""
    office = Office(tmp_path)
    office.add("spring", "30 2 * * *", "America/New_York")
    office.add("autumn", "30 1 * * *", "America/New_York")
    office.add("hourly", "0 * * * *", "Europe/Berlin")
    return office


def test_next_tells_the_nights_around_spring(office: Office) -> None:
    """02:30 is not there on 14 March: it fires right after, at 03:00 EDT; never twice, never skipped."""
    rows = office.rows("2027-03-12T12:00:00+00:00", "next", "spring", "-n", "4")
    assert [(row["local"], row["utc"]) for row in rows] == [
        ("Sat 2027-03-13 02:30 EST", "2027-03-13 07:30"),
        ("Sun 2027-03-14 03:00 EDT", "2027-03-14 07:00"),
        ("Mon 2027-03-15 02:30 EDT", "2027-03-15 06:30"),
        ("Tue 2027-03-16 02:30 EDT", "2027-03-16 06:30"),
    ]
    assert {row["schedule"] for row in rows} == {"spring"}


def test_next_tells_the_nights_around_autumn(office: Office) -> None:
    """01:30 comes twice on 7 November: it fires the first time, and asked between the two it fires the next day."""
    rows = office.rows("2027-11-06T12:00:00+00:00", "next", "autumn", "-n", "2")
    assert [(row["local"], row["utc"]) for row in rows] == [
        ("Sun 2027-11-07 01:30 EDT", "2027-11-07 05:30"),
        ("Mon 2027-11-08 01:30 EST", "2027-11-08 06:30"),
    ]
    [row] = office.rows("2027-11-07T05:45:00+00:00", "next", "autumn", "-n", "1")
    assert row["local"] == "Mon 2027-11-08 01:30 EST"


def test_next_without_a_name_tells_all_and_an_hourly_one_fires_in_both_repeated_hours(office: Office) -> None:
    """Five firings of each; on 31 October in Berlin 02:00 is told twice, an hour apart."""
    rows = office.rows("2027-10-30T22:30:00+00:00", "next")
    assert [row["schedule"] for row in rows] == ["spring"] * 5 + ["autumn"] * 5 + ["hourly"] * 5
    assert [row["local"] for row in rows if row["schedule"] == "hourly"] == [
        "Sun 2027-10-31 01:00 CEST",
        "Sun 2027-10-31 02:00 CEST",
        "Sun 2027-10-31 02:00 CET",
        "Sun 2027-10-31 03:00 CET",
        "Sun 2027-10-31 04:00 CET",
    ]
    moments = [datetime.fromisoformat(row["at"]) for row in rows if row["schedule"] == "hourly"]
    assert {later - sooner for sooner, later in pairwise(moments)} == {moments[1] - moments[0]}


def test_a_name_that_is_none_is_refused_with_those_that_are(office: Office) -> None:
    """As is a count that is none."""
    done = office.type("2027-03-12T12:00:00+00:00", "next", "winter")
    assert (done.returncode, done.stdout) == (Exit.CONFIGURATION, b"")
    assert b"there is no schedule winter; there is spring, autumn, hourly" in done.stderr
    assert office.type("2027-03-12T12:00:00+00:00", "next", "-n", "0").returncode == Exit.USAGE


def test_check_names_every_fault_with_its_line(office: Office) -> None:
    """And nothing runs; mended, it explains when each fires."""
    text = office.config.read_text()
    office.config.write_text(text.replace("30 2 * * *", "30 26 * * *").replace("Europe/Berlin", "Europe/Nowhere"))
    done = office.type("2027-01-12T12:00:00+00:00", "check")
    assert done.returncode == Exit.CONFIGURATION
    found = [json.loads(line) for line in done.stdout.splitlines()]
    lines = text.splitlines()
    assert [(lines[row["line"] - 1], row["level"], row["schedule"]) for row in found] == [
        ('cron = "30 2 * * *"', "error", "spring"),
        ('time_zone = "Europe/Berlin"', "error", "hourly"),
    ]
    assert b"2 faults; nothing would run" in done.stderr
    office.config.write_text(text)
    done = office.type("2027-01-12T12:00:00+00:00", "check", "spring")
    assert done.returncode == 0, done.stderr
    assert b"spring: At 02:30 every day, America/New_York" in done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert "cron: the clock is changed in the night of 2027-03-14; it fires then at 03:00 EDT" in [
        row.get("message") for row in said
    ]
    assert sum("utc" in row for row in said) == 5


def test_a_schedule_is_paused_without_a_region(office: Office) -> None:
    """On a machine that has neither Redis nor AWS: it once asked for clients that nothing of it used."""
    moment = "2027-01-12T12:00:00+00:00"
    done = office.type(moment, "pause", "spring")
    assert done.returncode == 0, done.stderr
    assert b"spring is paused" in done.stderr
    assert b"next: sealbatch schedule resume spring" in done.stderr
    assert {row["schedule"]: row["state"] for row in office.rows(moment, "ls")}["spring"] == "paused"
    assert b"paused already" in office.type(moment, "pause", "spring").stderr
    assert office.type(moment, "resume", "spring").returncode == 0
    assert {row["schedule"]: row["state"] for row in office.rows(moment, "ls")}["spring"] == "on"
    assert b"was not paused" in office.type(moment, "resume", "spring").stderr


def test_a_file_is_dropped_and_counted(office: Office) -> None:
    """On a machine that has neither Redis nor AWS."""
    moment = "2027-01-12T12:00:00+00:00"
    (office.folder / "a.jsonl").write_text('{"custom_id": "a", "question": "How?"}\n')
    done = office.type(moment, "drop", "spring", "a.jsonl")
    assert done.stdout.decode().split() == [str(office.folder / "spring/inbox/a.jsonl")]
    assert b"next: sealbatch schedule next spring" in done.stderr
    rows = {row["schedule"]: row for row in office.rows(moment, "ls")}
    assert (rows["spring"]["waiting"], rows["spring"]["state"]) == (1, "on")
    assert rows["spring"]["next_local"] == "Wed 2027-01-13 02:30 EST"
