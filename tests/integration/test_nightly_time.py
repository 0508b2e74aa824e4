"""Clocks that jump or are changed, nights that nobody saw, and nights that are over."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from night_checks import assert_answered_once
from night_world import START, Dial, World

from sealbatch.nightly.schedule import NightlySettings
from wire.ledger import parse_chunk_message


def test_a_clock_that_jumps_ahead_and_back(world: World) -> None:
    """A run that began too early takes at its true time what has come since; nothing runs twice."""
    world.clock.move(days=2)
    world.tick()
    world.drop("early.jsonl")
    world.tick()
    world.clock.move(days=-2)
    world.pass_time(12)
    world.drop("late.jsonl")
    world.pass_time(60)
    assert_answered_once(world, "early.jsonl", "late.jsonl")


def test_a_clock_that_jumps_back_over_a_firing_does_not_fire_again(world: World) -> None:
    """The run is there already."""
    world.drop("a.jsonl")
    world.pass_time(20)
    world.clock.move(hours=-3)
    world.drop("b.jsonl")
    world.pass_time(6)
    assert_answered_once(world, "a.jsonl", "b.jsonl")
    assert len(list((world.inbox / ".sealbatch/benefits/runs").iterdir())) == 1


def test_nobody_there_at_the_firing(world: World) -> None:
    """Three nights without power: the first tick afterwards begins the last of them, once, and takes all that waits."""
    world.drop("a.jsonl")
    world.clock.move(days=3)
    world.pass_time(2)
    assert_answered_once(world, "a.jsonl")
    runs = [path.name for path in (world.inbox / ".sealbatch/benefits/runs").iterdir()]
    assert runs == ["2026-11-27T070000Z"]


def test_receipts_that_are_newer_than_the_schedules_clock_are_no_forgeries(tmp_path: Path) -> None:
    """The schedule's clock was set back a day; what it is compared with was dated by the machine's, deadlines too.

    Collection once took the schedule's time for the reader's own, and every receipt for one from the future.
    """
    day = timedelta(days=1)
    world = World(tmp_path, options={"deadline": "3h"}, clock=Dial(START - day, ahead=day))
    world.tick()
    world.drop("a.jsonl")
    world.pass_time(21)
    assert_answered_once(world, "a.jsonl")
    [body] = set(world.sqs.bodies)
    deadline = parse_chunk_message(body).deadline_ms
    assert deadline == datetime(2026, 11, 25, 10, tzinfo=UTC).timestamp() * 1000


def test_old_nights_are_forgotten_and_do_not_come_again(tmp_path: Path) -> None:
    """Records of closed runs go after `keep_runs`, the last run's too; what was delivered stays."""
    world = World(tmp_path, settings=NightlySettings(keep_runs="2d"), options={"cron": "0 2 * * WED"})
    world.tick()
    world.drop("a.jsonl")
    world.pass_time(24 * 6, every=60)
    assert list((world.schedule.own / "runs").iterdir()) == []
    world.drop("b.jsonl")
    world.pass_time(24 * 3, every=60)
    assert [path.name for path in (world.schedule.own / "runs").iterdir()] == ["2026-12-02T070000Z"]
    assert_answered_once(world, "a.jsonl", "b.jsonl")
    assert len(list(world.answers.rglob("report.html"))) == 2


def test_a_deadly_tick_does_not_hide_the_clock_change(tmp_path: Path) -> None:
    """Both nights with a changed clock: one run each, at the hour that the zone gives."""
    for start, run in (
        (datetime(2027, 3, 13, 20, tzinfo=UTC), "2027-03-14T070000Z"),
        (datetime(2027, 11, 6, 20, tzinfo=UTC), "2027-11-07T070000Z"),
    ):
        world = World(tmp_path / run)
        world.clock.moment = start
        world.tick()
        world.drop("a.jsonl")
        world.pass_time(20)
        assert_answered_once(world, "a.jsonl")
        assert [path.name for path in (world.inbox / "done").iterdir()] == [run]


def test_a_paused_schedule_begins_nothing_and_catches_nothing_up(world: World) -> None:
    """Files wait in the inbox for the first firing after `resume`."""
    world.drop("a.jsonl")
    runs = world.context().runs
    assert runs.pause()
    assert not runs.pause()
    world.pass_time(48)
    assert [path.name for path in world.inbox.glob("*.jsonl")] == ["a.jsonl"]
    assert runs.resume()
    world.pass_time(12)
    assert world.delivered() == {}
    world.pass_time(24)
    assert_answered_once(world, "a.jsonl")


def test_a_run_that_a_person_starts_does_not_move_those_of_the_schedule(world: World) -> None:
    """It takes what is there; the night's own run comes all the same."""
    world.drop("a.jsonl")
    run = world.context().runs.begin(world.clock.now(), manual=True)
    world.pass_time(2)
    assert list(world.delivered()) == [f"{run}/a.answers.jsonl"]
    world.drop("b.jsonl")
    world.pass_time(24)
    assert_answered_once(world, "a.jsonl", "b.jsonl")
