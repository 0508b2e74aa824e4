"""A night's files: those that go through, and those that are poisoned, unfinished, changed, or of one name."""

import json
from typing import Any

import pytest
from night_checks import assert_answered_once, files, report
from night_world import ANSWER, QUESTION, World


def test_a_night_without_faults(world: World) -> None:
    """Answers for their owner alone, inputs in done/ with a report beside them, and no content in any report."""
    world.drop("a.jsonl")
    world.drop("b.jsonl")
    world.pass_time(24)
    assert_answered_once(world, "a.jsonl", "b.jsonl")
    for path in (*world.answers.rglob("*.*"), *world.inbox.rglob("*.report.json")):
        if path.is_file():
            assert path.stat().st_mode & 0o777 == 0o600, path
    [run] = (world.inbox / "done").iterdir()
    assert run.name == "2026-11-25T070000Z"
    beside = json.loads((run / "a.jsonl.report.json").read_text())
    assert beside["delivered"]["succeeded"] == 2
    assert report(world)["records"] == {
        "total": 2 * 2, "succeeded": 4, "truncated": 0, "errored": 0, "expired": 0, "canceled": 0
    }  # fmt: skip
    told = "".join(path.read_text() for path in world.folder.rglob("*") if path.suffix in {".json", ".html"})
    assert QUESTION not in told
    assert ANSWER not in told


def test_a_poisoned_file_is_set_aside_with_its_faults_by_line(world: World) -> None:
    """The others go through; the report beside it names lines and codes and quotes nothing."""
    world.drop("good.jsonl")
    world.drop("bad.jsonl", text='{"custom_id": "x", "question": "secret words"}\nnot json, secret too\n')
    world.pass_time(24)
    assert files(world) == ["good.answers.jsonl"]
    assert world.inputs("failed") == ["bad.jsonl"]
    [beside] = world.inbox.rglob("bad.jsonl.report.json")
    problems = json.loads(beside.read_text())["refused"]["problems"]
    assert [(problem["line"], problem["code"]) for problem in problems] == [(2, "invalid_json_line")]
    assert "secret" not in beside.read_text()
    assert len(world.sent_jobs()) == 1


def test_a_file_that_is_still_being_written_waits(world: World) -> None:
    """Until it has settled, or until the next night if it does not; unfinished names never count."""
    world.clock.move(hours=19)
    slow = world.drop("slow.jsonl", age=0)
    world.drop("upload.jsonl.part", age=3600)
    for _ in range(25):
        world.touch(slow, age=10)
        world.tick()
        world.clock.move(minutes=1)
    world.pass_time(1)
    assert world.delivered() == {}
    assert report(world)["files"]["left_in_inbox"] == 1
    world.pass_time(26)
    assert files(world) == ["slow.answers.jsonl"]
    assert [path.name for path in world.inbox.glob("*.part")] == ["upload.jsonl.part"]


def test_a_file_that_changes_while_it_is_sealed_is_not_sent_half(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted anew and sent whole."""
    world.drop("a.jsonl", ids=["a.jsonl-1"])
    world.clock.move(hours=19, minutes=1)
    todos = world.night().tick()
    [path] = world.inbox.rglob("input/a.jsonl")
    generate = world.kms.generate_data_key

    def meanwhile(**request: Any) -> Any:
        monkeypatch.setattr(world.kms, "generate_data_key", generate)
        with path.open("a") as file:
            file.write(json.dumps({"custom_id": "a.jsonl-2", "question": QUESTION}) + "\n")
        return generate(**request)

    monkeypatch.setattr(world.kms, "generate_data_key", meanwhile)
    # What the reader of lines has buffered by then is the old end; a second look at the size sees the new one.
    world.do(todos)
    world.pass_time(1)
    assert_answered_once(world, "a.jsonl")


def test_two_files_of_one_name_in_one_night_are_two(world: World) -> None:
    """The second has its own names, and nothing is written over."""
    world.drop("a.jsonl", ids=["one"])
    world.clock.move(hours=19, minutes=1)
    world.tick()
    world.drop("a.jsonl", ids=["two"])
    world.pass_time(1)
    assert sorted(world.delivered().values()) == [["one"], ["two"]]
    assert sorted(files(world)) == ["a-2.answers.jsonl", "a.answers.jsonl"]
    assert world.inputs("done") == ["a-2.jsonl", "a.jsonl"]


def test_the_same_content_on_another_night_is_another_job(world: World) -> None:
    """The key holds the scheduled time; two copies on one night share their job."""
    for _ in range(2):
        world.drop("a.jsonl", ids=["same"])
        world.drop("copy.jsonl", ids=["same"])
        world.pass_time(24)
    assert len(world.delivered()) == 4
    assert len(world.sent_jobs()) == 2
