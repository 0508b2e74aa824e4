"""Who is told of a night, and how often: also when the target or the listener is not there."""

import json
from pathlib import Path

from night_checks import assert_answered_once
from night_listeners import TOPIC, Sns, webhook
from night_world import World


def test_everybody_is_told_once_in_ids_and_counts(tmp_path: Path) -> None:
    """A command, a webhook and a topic get the same event; a file's name is content and not in it."""
    with webhook() as (url, endpoint):
        sns = Sns()
        command = {"command": ["sh", "-c", f"cat >> {tmp_path}/told"]}
        world = World(tmp_path / "world", tell=[command, {"webhook": url}, {"sns_topic": TOPIC + "nights"}], sns=sns)
        world.tick()
        world.drop("doe-jane.jsonl")
        world.pass_time(24)
    [line] = (tmp_path / "told").read_text().splitlines()
    assert [json.loads(line)] == endpoint.told == sns.told
    assert sns.told[0]["jobs"] == list(world.jobs())
    assert sns.told[0]["records"]["succeeded"] == 2
    assert "doe" not in line


def test_an_endpoint_that_is_down_is_told_later_and_keeps_nobody_from_their_answers(tmp_path: Path) -> None:
    """The others are not told twice; after a day the report says who was not told, without the address."""
    with webhook() as (url, endpoint):
        endpoint.refuse = True
        sns = Sns()
        tell = [{"webhook": url}, {"sns_topic": TOPIC + "nights"}, {"sns_topic": TOPIC + "broken"}]
        world = World(tmp_path / "world", tell=tell, sns=sns)
        world.tick()
        world.drop("a.jsonl")
        world.pass_time(20)
        assert_answered_once(world, "a.jsonl")
        assert len(endpoint.told) > 1
        assert len(sns.told) == 1
        endpoint.refuse = False
        world.pass_time(1)
        told = len(endpoint.told)
        world.pass_time(26, every=30)
    assert {event["id"] for event in endpoint.told} == {sns.told[0]["id"], endpoint.told[-1]["id"]}
    assert sum(event["id"] == sns.told[0]["id"] for event in endpoint.told) == told
    page = (world.answers / "2026-11-25T070000Z/report.html").read_text()
    assert "not told: sns: SNS refused: NotFound" in page
    assert "token=secret" not in page


def test_a_target_that_is_full_gets_the_answers_later_and_a_person_hears_of_it(tmp_path: Path) -> None:
    """Nothing half is left there; the file stays with the run until there is room.

    The report that could not be written either once kept everybody from being told.
    """
    sns = Sns()
    world = World(tmp_path, tell=[{"sns_topic": TOPIC + "nights"}], sns=sns)
    world.tick()
    world.drop("a.jsonl")
    world.answers.write_text("in the way")
    world.pass_time(22)
    assert world.inputs("done") == []
    assert len(world.sent_jobs()) == 1
    assert [event["event"] for event in sns.told] == ["run.needs_attention"]
    world.answers.unlink()
    world.pass_time(1)
    assert_answered_once(world, "a.jsonl")
    assert [event["event"] for event in sns.told] == ["run.needs_attention", "run.finished"]


def test_a_target_that_fills_up_before_the_report_keeps_the_run_open_and_tells_once(tmp_path: Path) -> None:
    """The answers lie there; everybody hears so, and the report follows when there is room."""
    sns = Sns()
    world = World(tmp_path, tell=[{"sns_topic": TOPIC + "nights"}], sns=sns)
    world.tick()
    world.drop("a.jsonl")
    page = world.answers / "2026-11-25T070000Z/report.html"
    page.mkdir(parents=True)
    world.pass_time(22)
    assert_answered_once(world, "a.jsonl")
    assert [event["event"] for event in sns.told] == ["run.finished"]
    assert list(world.inbox.rglob("closed.json")) == []
    page.rmdir()
    world.pass_time(1)
    assert page.is_file()
    assert len(list(world.inbox.rglob("closed.json"))) == 1
    assert len(sns.told) == 1
