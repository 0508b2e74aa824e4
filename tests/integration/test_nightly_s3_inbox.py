"""An inbox in S3, against a server that speaks its protocol: sealed at rest, taken once, whoever dies over it."""

import io
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from job_factory import Aws
from memory_aws import ACCOUNT
from night_world import QUESTION, Fuse, World

from producer.sealed_file import open_file
from sealbatch.nightly.drop import DropError, drop_file, drop_sealed
from sealbatch.nightly.inbox import Inbox
from sealbatch.nightly.s3_inbox import S3Inbox, owner_of
from sealbatch.nightly.schedule import NightlySettings

KEY = ACCOUNT + "c"
SMALL = NightlySettings.model_construct(range_size=4000, max_attempts=50)


@dataclass
class FusedS3:
    """A client of whose calls that change something each may be the last."""

    s3: Any
    fuse: Fuse

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.s3, name)
        if name not in {"put_object", "delete_object"}:
            return call
        return lambda **request: self.fuse.burn(lambda: call(**request))


class S3World(World):
    """A schedule whose inbox is a prefix of its own."""

    def __init__(self, folder: Path, aws: Aws, **more: Any) -> None:
        self.bucket = aws.settings.bucket
        self.prefix = f"{folder.name}/inbox"
        self.real: Any = aws.s3
        work = folder / "work"
        work.mkdir(parents=True)
        place = {"inbox": f"s3://{self.bucket}/{self.prefix}", "inbox_key": KEY, "work": str(work)}
        super().__init__(folder, options=place, **more)

    def make_inbox(self) -> Inbox:
        """In S3."""
        return S3Inbox(FusedS3(self.real, self.fuse), self.kms, self.schedule, "benefits")

    def drop_sealed(self, name: str, ids: list[str] | None = None) -> str:
        """Seal a file into the prefix."""
        lines = [json.dumps({"custom_id": one, "question": QUESTION}) for one in ids or [f"{name}-1", f"{name}-2"]]
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n")
        return drop_sealed(path, self.schedule, self.real, self.kms, "benefits")

    def put(self, name: str, body: bytes) -> None:
        """Write an object into the prefix as it is."""
        self.real.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}", Body=body)

    def names(self) -> list[str]:
        """The objects under the prefix."""
        found = self.real.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix + "/").get("Contents", [])
        return [str(item["Key"]).removeprefix(self.prefix + "/") for item in found]

    def body(self, name: str) -> bytes:
        """An object's bytes."""
        body: bytes = self.real.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")["Body"].read()
        return body


@pytest.fixture
def world(tmp_path: Path, aws: Aws) -> S3World:
    """A schedule that has been seen before its first firing."""
    world = S3World(tmp_path, aws)
    world.tick()
    return world


RUN = "2026-11-25T070000Z"


def assert_answered_once(world: S3World, *names: str) -> None:
    """Each file has its answers and its place under done/, still sealed, with its report; nothing waits."""
    finished = [f"done/{RUN}/{name}{more}" for name in names for more in (".report.json", ".sealed")]
    assert world.names() == sorted(finished)
    delivered = {Path(path).name.removesuffix(".answers.jsonl"): ids for path, ids in world.delivered().items()}
    assert delivered == {name.removesuffix(".jsonl"): [f"{name}-1", f"{name}-2"] for name in names}
    assert len(world.sent_jobs()) == len(names)
    own = world.schedule.own
    assert [path for path in own.rglob("*") if path.is_file() and path.suffix != ".json"] == []


def test_files_are_sealed_from_the_drop_to_the_end(world: S3World) -> None:
    """In the bucket and on disk; what is under done/ opens to what was dropped."""
    assert world.drop_sealed("a.jsonl") == f"s3://{world.bucket}/{world.prefix}/a.jsonl.sealed"
    with pytest.raises(DropError, match=r"a\.jsonl waits in the inbox already"):
        world.drop_sealed("a.jsonl")
    world.clock.move(hours=19, minutes=1)
    todos = world.night().tick()
    [taken] = (path for path in world.schedule.own.rglob("input/*"))
    assert taken.stat().st_mode & 0o777 == 0o600
    assert QUESTION.encode() not in taken.read_bytes()
    world.do(todos)
    world.pass_time(1)
    assert_answered_once(world, "a.jsonl")
    box = world.body(f"done/{RUN}/a.jsonl.sealed")
    assert QUESTION.encode() not in box
    opened = open_file(io.BytesIO(box), len(box), world.kms, owner_of(world.schedule, "benefits")).read()
    assert opened == (world.folder / "a.jsonl").read_bytes()
    report = json.loads(world.body(f"done/{RUN}/a.jsonl.report.json"))
    assert (report["delivered"]["succeeded"], report["input"]["bytes"]) == (2, len(opened))


def test_a_large_sealed_file_is_sealed_anew_in_ranges(tmp_path: Path, aws: Aws) -> None:
    """Each range opens only its own part."""
    world = S3World(tmp_path, aws, settings=SMALL)
    world.tick()
    ids = [f"case-{number}" for number in range(400)]
    world.drop_sealed("large.jsonl", ids)
    world.pass_time(24)
    [claim] = world.schedule.own.rglob("claim.json")
    assert len(json.loads(claim.read_text())["ranges"]) > 5
    assert list(world.delivered().values()) == [ids]


def test_what_is_not_sealed_stays_and_a_person_hears_of_it(world: S3World) -> None:
    """Whether it says so or not; it is not copied anywhere."""
    world.drop_sealed("a.jsonl")
    world.put("plain.jsonl", QUESTION.encode())
    world.put("liar.jsonl.sealed", QUESTION.encode())
    world.put("upload.part", b"x")
    world.pass_time(20)
    assert {"plain.jsonl", "liar.jsonl.sealed"} <= set(world.names())
    assert all(QUESTION.encode() not in path.read_bytes() for path in world.schedule.own.rglob("*") if path.is_file())
    [report] = (json.loads(path.read_text()) for path in world.answers.rglob("report.json"))
    assert (report["files"]["delivered"], report["files"]["left_in_inbox"], report["needs_a_person"]) == (1, 2, True)


def test_a_file_that_was_sealed_for_another_schedule_is_set_aside(world: S3World) -> None:
    """As is one whose bytes were changed in the bucket."""
    other = world.schedule.model_copy(update={"name": "pensions"})
    path = world.folder / "theirs.jsonl"
    path.write_text("{}\n")
    drop_sealed(path, other, world.real, world.kms, "benefits")
    world.drop_sealed("bent.jsonl")
    box = bytearray(world.body("bent.jsonl.sealed"))
    box[-1] ^= 1
    world.put("bent.jsonl.sealed", bytes(box))
    world.pass_time(20)
    assert [name for name in world.names() if name.endswith(".sealed")] == [
        f"failed/{RUN}/bent.jsonl.sealed",
        f"failed/{RUN}/theirs.jsonl.sealed",
    ]
    report = json.loads(world.body(f"failed/{RUN}/theirs.jsonl.report.json"))
    assert report["refused"]["code"] == "file_damaged"
    assert world.sent_jobs() == set()


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_that_dies_while_it_takes_or_files_an_object(tmp_path: Path, aws: Aws, *, after: bool) -> None:
    """Killed before or after each single thing that it changes: the file is answered once."""
    for at in range(1, 40):
        world = S3World(tmp_path / f"{after}-{at}", aws)
        world.tick()
        world.drop_sealed("a.jsonl")
        world.clock.move(hours=19, minutes=1)
        left = at
        for _ in range(8):
            world.fuse.left, world.fuse.after = left, after
            todos = world.survive(lambda world=world: world.night().tick()) or []  # type: ignore[misc]
            left = world.unburnt if world.unburnt > 0 else -1
            for todo in todos:
                world.fuse.left = left
                world.do([todo])
                left = world.unburnt if world.unburnt > 0 else -1
            world.answer()
            world.clock.move(minutes=3)
        world.fuse.left = -1
        world.pass_time(1, every=15)
        assert_answered_once(world, "a.jsonl")
        if not world.deaths:
            break
    assert 9 < at < 39


def test_two_workers_take_one_object_once(world: S3World) -> None:
    """At the same time, for two runs."""
    world.drop_sealed("a.jsonl")
    taken: list[tuple[str, str] | None] = []
    threads = [
        threading.Thread(target=lambda run=run: taken.append(world.make_inbox().take("a.jsonl.sealed", run)))  # type: ignore[misc]
        for run in (RUN, "2026-11-26T070000Z", RUN)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for one in taken if one is not None}) == 1
    assert len(list(world.schedule.own.rglob("input/*"))) == 1
    assert world.names() == []


def test_a_file_dropped_into_a_folder_appears_whole_and_writes_over_nothing(tmp_path: Path) -> None:
    """The same verb serves both kinds of inbox."""
    world = World(tmp_path / "world")
    source = tmp_path / "a.jsonl"
    source.write_text("{}\n")
    assert drop_file(source, world.schedule) == str(world.inbox / "a.jsonl")
    with pytest.raises(DropError, match="waits in the inbox already"):
        drop_file(source, world.schedule)
    with pytest.raises(DropError, match="not picked up"):
        drop_file(source.rename(tmp_path / "a.part"), world.schedule)
    assert [path.name for path in world.inbox.iterdir()] == ["a.jsonl"]
