"""Nights in simulated time, with everything going wrong by a seed: no file is lost, none is doubled."""

import os
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from night_world import World

from sealbatch.nightly.schedule import NightlySettings
from sealbatch.nightly.todo import Todo

NIGHTS = int(os.environ.get("SEALBATCH_NIGHTS", "40"))
"""`make nights` runs two hundred."""
SEED = int(os.environ.get("SEALBATCH_SEED", "6"))


class Chaos:
    """One seed's nights."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.good: dict[str, list[str]] = {}
        self.bad: set[str] = set()
        self.faults: Counter[str] = Counter()
        self.dropped = 0

    def evening(self) -> None:
        """Some files come in, most of them good."""
        for _ in range(self.random.choice((0, 1, 1, 2, 3))):
            self.dropped += 1
            kind = self.random.random()
            name = f"{'killer' if kind < 0.03 else 'bad' if kind < 0.1 else 'file'}-{self.dropped:04d}.jsonl"
            if name.startswith("bad"):
                self.world.drop(name, text='{"custom_id": "x"}\n')
            else:
                ids = [f"{self.dropped}-{number}" for number in range(self.random.randint(1, 3))]
                age = self.random.choice((7200.0, 7200.0, 0.0))
                self.world.drop(name, ids, age=age)
                if not name.startswith("killer"):
                    self.good[name] = ids
            if name not in self.good:
                self.bad.add(name)

    def night(self) -> None:
        """From half past midnight to the morning, in New York."""
        for _ in range(18):
            self._break_something()
            self._beat()
            if self.random.random() < 0.7:
                self.world.answer()
            self.world.clock.move(minutes=self.random.choice((1, 5, 15, 30)))
            self._mend()

    def calm(self) -> None:
        """A day without faults."""
        self.world.pass_time(30, every=30)

    def _beat(self) -> None:
        """One or two beats; tasks that come once, twice, in any order, or never, to workers that may die."""
        world = self.world
        todos: list[Todo] = []
        for _ in range(self._maybe("two beats", 0.2, otherwise=1, then=2)):
            self._light()
            todos += world.survive(lambda: world.night().tick()) or []
        if self._maybe("redis flushed", 0.15):
            return
        if self._maybe("delivered twice", 0.2):
            todos += todos
            self.random.shuffle(todos)
        for todo in todos:
            self._light()
            world.do([todo])

    def _light(self) -> None:
        if self._maybe("worker killed", 0.12):
            self.world.fuse.left = self.random.randint(1, 12)
            self.world.fuse.after = self.random.random() < 0.5
        else:
            self.world.fuse.left = -1

    def _break_something(self) -> None:
        world = self.world
        if self._maybe("S3 busy", 0.06):
            world.outage.code, world.outage.calls = "SlowDown", (self.random.choice(("PutObject", "GetObject")),)
        if self._maybe("queue gone", 0.06):
            world.outage.code, world.outage.calls = "ServiceUnavailable", ("SendMessageBatch",)
        if self._maybe("KMS down", 0.06):
            world.outage.code, world.outage.calls = "KMSInternalException", ("GenerateDataKey", "Decrypt")
        if self._maybe("credentials expired", 0.03):
            world.outage.code, world.outage.calls = "ExpiredTokenException", ()
        if self._maybe("target full", 0.06):
            world.options["target"] = "full"
            self._target().rename(world.folder / "aside")
            self._target().write_text("no room")
        jump = self._maybe("clock jumps", 0.04, otherwise=0, then=self.random.choice((-7, -2, 3, 26)))
        self._jumped = timedelta(hours=jump)
        world.clock.moment += self._jumped

    def _mend(self) -> None:
        world = self.world
        world.outage.code = ""
        world.clock.moment -= self._jumped
        if world.options.pop("target", None):
            self._target().unlink()
            (world.folder / "aside").rename(self._target())

    def _target(self) -> Path:
        return self.world.answers

    def _maybe(self, fault: str, chance: float, *, otherwise: int = 0, then: int = 1) -> int:
        if self.random.random() >= chance:
            return otherwise
        self.faults[fault] += 1
        return then


@pytest.mark.timeout(600)
def test_no_file_is_lost_or_doubled_over_many_nights(tmp_path: Path) -> None:
    """Each good file is answered once, with its own ids, by one job, and is in done/; each bad one is in failed/."""
    world = World(tmp_path, settings=NightlySettings(max_attempts=12))
    world.answers.mkdir()
    chaos = Chaos(world, SEED)
    world.tick()
    for _ in range(NIGHTS):
        chaos.evening()
        world.clock.move(hours=17)
        chaos.night()
        chaos.world.clock.move(hours=2)
    chaos.calm()
    chaos.calm()
    assert list(world.inbox.glob("*.jsonl")) == []
    assert list(world.inbox.rglob(".sealbatch/*/runs/*/items/*/input/*")) == []
    assert list(world.inbox.rglob(".sealbatch/*/open/*")) == []
    assert Counter(world.inputs("done")) == Counter(list(chaos.good))
    assert Counter(world.inputs("failed")) == Counter(list(chaos.bad))
    found = world.delivered()
    delivered = {Path(path).name.replace(".answers", ""): ids for path, ids in found.items()}
    assert delivered == chaos.good
    assert len(found) == len(chaos.good)
    assert len(world.sent_jobs()) == len(chaos.good)
    assert world.deaths > NIGHTS / 4
    assert len(chaos.faults) == 10, chaos.faults
    print(f"{NIGHTS} nights, seed {SEED}: {chaos.dropped} files, {world.deaths} workers killed, {dict(chaos.faults)}")  # noqa: T201
