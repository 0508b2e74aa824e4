"""One large file in ranges: sealed by many, visible when all are in, whatever becomes of those who seal."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from night_world import QUESTION, World

from producer.ranges import Range, find_duplicate, lines_of, plan_ranges
from sealbatch.nightly.schedule import NightlySettings
from wire.ledger import parse_chunk_message
from wire.manifest import decode_manifest

SMALL = NightlySettings.model_construct(range_size=4000, max_attempts=3)


def lines(count: int, *, begin: int = 0) -> str:
    """That many questions."""
    return "".join(
        json.dumps({"custom_id": f"case-{number}", "question": QUESTION}) + "\n"
        for number in range(begin, begin + count)
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A schedule whose files are large beyond 4000 bytes."""
    world = World(tmp_path, settings=SMALL)
    world.tick()
    return world


def ranges(world: World) -> int:
    """Ranges of the only file."""
    [claim] = world.inbox.rglob("claim.json")
    return len(json.loads(claim.read_text())["ranges"])


def assert_one_whole_job(world: World, count: int) -> None:
    """All answers in order, one job, nothing sealed left on disk."""
    assert list(world.delivered().values()) == [[f"case-{number}" for number in range(count)]]
    assert len(world.sent_jobs()) == 1
    assert world.inputs("done") == ["large.jsonl"]
    assert list(world.inbox.rglob("sealed/*")) == []
    [path] = world.answers.rglob("*.answers.jsonl")
    assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == list(range(1, count + 1))


def test_ranges_make_one_job_with_a_keyset_of_each_process(world: World) -> None:
    """Records, lines and chunks are numbered through; the signer has a keyset of its own."""
    world.drop("large.jsonl", text=lines(500))
    world.pass_time(24)
    assert ranges(world) > 8
    assert_one_whole_job(world, 500)
    [key] = [key for key in world.s3.objects if key.endswith("/manifest")]
    manifest = decode_manifest(world.s3.objects[key])
    assert (manifest.records, len(manifest.keysets)) == (500, 2)


def test_the_job_is_not_there_before_all_ranges_are_in(world: World) -> None:
    """No manifest, no message, as long as one range lacks."""
    world.drop("large.jsonl", text=lines(500))
    world.clock.move(hours=19, minutes=1)
    todos = world.do(world.night().tick())
    while todos and not world.jobs():
        uploaded = len(list(world.inbox.rglob("ranges/*/uploaded.json")))
        assert uploaded <= ranges(world)
        assert world.sent_jobs() == set()
        todos = world.do(todos)
    assert len(list(world.inbox.rglob("ranges/*/uploaded.json"))) == ranges(world)
    world.pass_time(1)
    assert_one_whole_job(world, 500)


def test_the_messages_of_ranges_carry_the_deadline(tmp_path: Path) -> None:
    """Every message and the manifest say by when; the messages of ranges once went without."""
    world = World(tmp_path, settings=SMALL, options={"deadline": "3h"})
    world.tick()
    world.drop("large.jsonl", text=lines(300))
    world.pass_time(24)
    assert ranges(world) > 4
    deadline = datetime(2026, 11, 25, 10, tzinfo=UTC).timestamp() * 1000
    assert {parse_chunk_message(body).deadline_ms for body in world.sqs.bodies} == {deadline}
    [key] = [key for key in world.s3.objects if key.endswith("/manifest")]
    assert decode_manifest(world.s3.objects[key]).parameters.deadline_ms == deadline


@pytest.mark.parametrize("distance", [1, 60, 490])
def test_a_custom_id_that_stands_in_two_ranges_is_found(world: World, distance: int) -> None:
    """Both lines are named; nothing was sealed or sent."""
    text = lines(500).replace(f'"case-{499}"', f'"case-{499 - distance}"')
    world.drop("large.jsonl", text=text)
    world.pass_time(24)
    assert world.delivered() == {}
    [beside] = world.inbox.rglob("large.jsonl.report.json")
    [problem] = json.loads(beside.read_text())["refused"]["problems"]
    assert (problem["line"], problem["code"]) == (500, "duplicate_custom_id")
    assert f"line {500 - distance} " in problem["message"]
    assert world.s3.objects == {}


def test_a_problem_in_any_range_is_told_with_its_line_in_the_file(world: World) -> None:
    """And refuses the file before anything is sealed."""
    world.drop("large.jsonl", text=lines(300) + "broken\n" + lines(100, begin=300))
    world.pass_time(24)
    [beside] = world.inbox.rglob("large.jsonl.report.json")
    assert [problem["line"] for problem in json.loads(beside.read_text())["refused"]["problems"]] == [301]
    assert world.s3.objects == {}


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_that_dies_in_the_middle_of_a_range(tmp_path: Path, *, after: bool) -> None:
    """Killed at every seventeenth thing that anybody changes: another does the range again, and the job is whole."""
    dead = 0
    for at in range(1, 130, 17):
        world = World(tmp_path / str(at), settings=NightlySettings.model_construct(range_size=4000, max_attempts=50))
        world.tick()
        world.drop("large.jsonl", text=lines(200))
        world.clock.move(hours=19, minutes=1)
        todos = world.night().tick()
        left = at
        while todos:
            following = []
            for todo in todos:
                world.fuse.left, world.fuse.after = left, after
                following += world.do([todo])
                left = world.unburnt if world.unburnt > 0 else -1
            todos = following
        dead += world.deaths
        world.pass_time(1)
        assert_one_whole_job(world, 200)
    assert dead > 3


def test_every_range_task_delivered_twice_makes_the_same_job(world: World) -> None:
    """A repeated range has the seal that it got first."""
    world.drop("large.jsonl", text=lines(300))
    world.clock.move(hours=19, minutes=1)
    todos = world.night().tick()
    while todos:
        todos = world.do([todo for todo in todos for _ in range(2)])
    world.pass_time(1)
    assert_one_whole_job(world, 300)


def test_a_copy_that_is_sealed_at_the_same_time_shares_the_job(world: World) -> None:
    """The second to commit takes the first one's ticket and sends nothing."""
    for name in ("large.jsonl", "copy.jsonl"):
        world.drop(name, text=lines(300))
    world.pass_time(24)
    assert len(world.delivered()) == 2
    assert len(world.sent_jobs()) == 1


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=60),
    st.integers(1, 80),
    st.booleans(),
)
def test_ranges_hold_every_line_once(found: list[bytes], size: int, end: bool) -> None:
    """Whole lines, in order, none in two ranges, each range with the number of its first line."""
    data = b"\n".join(found) + (b"\n" if end else b"")
    file = io.BytesIO(data)
    _, spans = plan_ranges(file, len(data), size)
    read: list[bytes] = []
    for span in spans:
        assert span.line == len(read) + 1
        source = lines_of(file, span)
        while line := source.readline(1 << 20):
            read.append(line)
        assert source.digest() == span.digest
    assert read == data.splitlines(keepends=True) or b"".join(read) == data
    assert b"".join(read) == data
    assert all(isinstance(span, Range) for span in spans)


def test_ids_without_a_double_are_no_double() -> None:
    """Also when two ranges are empty."""
    from array import array

    def part(*marks: int) -> "tuple[array[int], array[int]]":
        return array("Q", marks), array("Q", [mark + 1 for mark in marks])

    assert find_duplicate([part(1, 2), part(), part(3)]) is None
    assert find_duplicate([part(1, 2), part(), part(3, 2)]) == (3, 3)
