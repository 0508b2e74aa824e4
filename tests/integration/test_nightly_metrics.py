"""What a beat serves of the nights as simulated time goes on: what ran, what should have, what is stuck."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from night_world import START, World
from prometheus_client import CollectorRegistry

from sealbatch.nightly.metrics import NightCollector

FIRING = datetime(2026, 11, 25, 7, tzinfo=UTC).timestamp()


class Page:
    """The page of a beat that began when it is made."""

    def __init__(self, world: World) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(NightCollector([world.schedule], world.clock))

    def __call__(self, figure: str, **labels: str) -> float | None:
        """A figure of the only schedule, or None."""
        return self._registry.get_sample_value(f"sealbatch_schedule_{figure}", {"schedule": "benefits", **labels})


def test_a_firing_that_nobody_takes_up_is_due_until_somebody_does(world: World) -> None:
    """The first of several: of an hourly schedule the newest would never be old."""
    page = Page(world)
    world.pass_time(18)
    assert page("due_timestamp_seconds") == 0
    world.clock.move(hours=50)
    assert page("due_timestamp_seconds") == FIRING
    world.tick()
    assert page("due_timestamp_seconds") == 0


def test_what_no_worker_ever_looked_at_is_due_too(tmp_path: Path) -> None:
    """From the first firing after the beat began; a paused one is not."""
    world = World(tmp_path)
    page = Page(world)
    world.clock.move(hours=20)
    assert page("due_timestamp_seconds") == FIRING
    world.context().runs.pause()
    assert (page("paused"), page("due_timestamp_seconds")) == (1, 0)
    world.clock.move(hours=1)
    world.context().runs.resume()
    assert (page("paused"), page("due_timestamp_seconds")) == (0, 0)


def test_a_night_is_open_until_it_is_over_and_its_counts_stay(world: World) -> None:
    """Also those of a file that was refused, and of one that did not settle."""
    page = Page(world)
    assert page("finished_timestamp_seconds") == 0
    world.outcomes = {"a-1": "errored"}
    world.drop("a.jsonl", ["a-1", "a-2", "a-3"])
    world.drop("bad.jsonl", text="no question\n")
    world.clock.move(hours=19, minutes=1)
    world.drop("late.jsonl", age=-86_400)
    world.tick()
    assert (
        page("open_timestamp_seconds"),
        page("open_files", state="answering"),
        page("open_files", state="stuck"),
    ) == (FIRING, 1, 0)
    world.pass_time(2)
    assert (page("open_timestamp_seconds"), page("open_files", state="answering")) == (0, 0)
    assert FIRING < (page("finished_timestamp_seconds") or 0) < FIRING + 3600
    assert [page("last_files", state=state) for state in ("delivered", "failed", "left")] == [1, 1, 1]
    assert [page("last_records", outcome=outcome) for outcome in ("succeeded", "errored", "expired")] == [2, 1, 0]


def test_a_file_that_does_not_get_on_is_stuck(world: World) -> None:
    """As long as AWS does not answer."""
    page = Page(world)
    world.drop("a.jsonl")
    world.pass_time(18.9)
    world.outage.code = "SlowDown"
    world.pass_time(1)
    assert (page("open_files", state="stuck"), page("open_files", state="waiting")) == (1, 0)
    world.outage.code = ""
    world.pass_time(2)
    assert (page("open_files", state="stuck"), page("last_files", state="delivered")) == (0, 1)


def test_a_folder_that_is_not_there_is_said_and_nothing_else(world: World) -> None:
    """It is not mounted: without a word of it the schedule would look like a new one."""
    page = Page(world)
    assert page("readable") == 1
    world.inbox.rename(world.folder / "away")
    assert (page("readable"), page("paused"), page("due_timestamp_seconds")) == (0, None, None)


@pytest.mark.parametrize("damaged", ["", "{", "[1]", '{"at": 3}', '{"at": "soon"}', "\x00"])
def test_a_damaged_record_is_said_and_hides_no_other_schedule(world: World, damaged: str) -> None:
    """The scrape came to nothing: Prometheus saw no beat at all."""
    page = Page(world)
    world.schedule.own.mkdir(parents=True, exist_ok=True)
    (world.schedule.own / "first-seen.json").write_text(damaged)
    assert (page("readable"), page("due_timestamp_seconds")) == (0, None)


def test_times_are_the_machines_as_prometheus_has_them(world: World) -> None:
    """The schedules' own clock may stand elsewhere."""
    page = Page(world)
    world.clock.move(hours=20)
    world.clock.ahead = datetime(2030, 1, 1, tzinfo=UTC) - START
    assert page("due_timestamp_seconds") == FIRING + world.clock.ahead.total_seconds()
