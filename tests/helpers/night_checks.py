"""What a night has come to."""

import json
from pathlib import Path
from typing import Any

from night_world import World


def files(world: World) -> list[str]:
    """The names of delivered answers."""
    return [Path(path).name for path in world.delivered()]


def report(world: World, name: str = "report.json") -> Any:
    """The report of the only run."""
    [path] = world.answers.rglob(name)
    return json.loads(path.read_text())


def assert_answered_once(world: World, *names: str) -> None:
    """Each file has its answers, its place in `done/`, and one job that was sent."""
    assert sorted(world.inputs("done")) == sorted(names)
    delivered = {Path(path).name.removesuffix(".answers.jsonl"): ids for path, ids in world.delivered().items()}
    assert delivered == {name.removesuffix(".jsonl"): [f"{name}-1", f"{name}-2"] for name in names}
    assert len(world.sent_jobs()) == len(names)
    assert list(world.inbox.glob("*.jsonl")) == []
    assert list(world.inbox.rglob(".sealbatch/*/runs/*/items/*/input/*")) == []
