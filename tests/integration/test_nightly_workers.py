"""Work that is done twice, late, never, or half: each file is answered once all the same.

Every fault of Celery and Redis comes down to one of these. `tests/endtoend/test_nightly_services.py` has the same with
processes that are killed.
"""

import json
import threading
from pathlib import Path

import pytest
from night_checks import assert_answered_once, files, report
from night_world import World

from sealbatch.nightly.schedule import NightlySettings


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("stage", "least"), [("submit", 9), ("deliver", 5), ("close", 2)])
def test_a_worker_that_dies_anywhere(tmp_path: Path, stage: str, least: int, *, after: bool) -> None:
    """Killed before or after each single thing that it changes: one job, delivered once, whoever comes next."""
    for at in range(1, 40):
        world = World(tmp_path / str(at))
        world.tick()
        world.drop("a.jsonl")
        world.clock.move(hours=19, minutes=1)
        if stage != "submit":
            world.tick()
            world.answer()
            world.clock.move(minutes=1)
        if stage == "close":
            world.tick()
            world.clock.move(minutes=20)
        todos = world.night().tick()
        world.fuse.left, world.fuse.after = at, after
        world.do(todos)
        world.pass_time(1, every=15)
        assert_answered_once(world, "a.jsonl")
        assert report(world)["files"]["delivered"] == 1
        if not world.deaths:
            break
    assert least < at < 39


def test_a_tick_that_dies_anywhere(tmp_path: Path) -> None:
    """Beat restarts, or the worker that looks at the inbox is killed: no file is lost between inbox and run."""
    for after in (False, True):
        for at in range(1, 40):
            world = World(tmp_path / f"{after}-{at}")
            world.tick()
            world.drop("a.jsonl")
            world.drop("b.jsonl")
            world.clock.move(hours=19, minutes=1)
            world.fuse.left, world.fuse.after = at, after
            world.tick()
            world.pass_time(1, every=10)
            assert_answered_once(world, "a.jsonl", "b.jsonl")
            if not world.deaths:
                break
        assert 5 < at < 39


def test_a_task_that_is_delivered_twice_and_two_beats(world: World) -> None:
    """Each tick comes from two beats, and each task to two workers, one after the other and at the same time."""
    world.drop("a.jsonl")
    world.drop("b.jsonl")
    world.clock.move(hours=19, minutes=1)
    for _ in range(12):
        todos = world.night().tick() + world.night().tick()
        workers = [threading.Thread(target=world.do, args=(todos,)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        world.answer()
        world.clock.move(minutes=5)
    assert_answered_once(world, "a.jsonl", "b.jsonl")


def test_redis_killed_flushed_or_evicting_loses_tasks_and_nothing_else(world: World) -> None:
    """Whatever was queued is gone, again and again: the next tick finds the same work."""
    world.drop("a.jsonl")
    world.clock.move(hours=19, minutes=1)
    for lost in range(6):
        todos = world.night().tick()
        if lost % 2:
            world.do(todos)
        world.answer()
        world.clock.move(minutes=1)
    world.pass_time(1)
    assert_answered_once(world, "a.jsonl")


def test_a_file_that_takes_its_worker_with_it_is_set_aside(tmp_path: Path) -> None:
    """After as many workers as allowed, counted under the file and not under Celery's ids; the others go through."""
    world = World(tmp_path, settings=NightlySettings(max_attempts=3))
    world.tick()
    world.drop("killer.jsonl")
    world.drop("good.jsonl")
    world.pass_time(24)
    assert world.deaths == 3
    assert world.inputs("failed") == ["killer.jsonl"]
    assert files(world) == ["good.answers.jsonl"]
    [beside] = world.inbox.rglob("killer.jsonl.report.json")
    assert json.loads(beside.read_text())["refused"]["code"] == "poisoned"
