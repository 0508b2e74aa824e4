"""AWS that does not answer, refuses, comes late, or gives back what nobody sealed."""

import json
from pathlib import Path

import pytest
from night_checks import assert_answered_once, report
from night_listeners import TOPIC, Sns
from night_world import World

from sealbatch.nightly.schedule import NightlySettings

OUTAGES = [
    ("SlowDown", ("PutObject",), "s3_unavailable"),
    ("SlowDown", ("GetObject",), "s3_unavailable"),
    ("ServiceUnavailable", ("SendMessageBatch",), "sqs_unavailable"),
    ("KMSInternalException", ("GenerateDataKey",), "kms_unavailable"),
    ("KMSInternalException", ("Decrypt",), "kms_unavailable"),
    ("DisabledException", ("GenerateDataKey",), "kms_missing"),
    ("AccessDeniedException", ("Decrypt",), "kms_denied"),
    ("ExpiredTokenException", ("GenerateDataKey",), "kms_credentials"),
    ("ExpiredTokenException", (), "s3_credentials"),
]


def ride_out(world: World, code: str, calls: tuple[str, ...]) -> set[str]:
    """Two hours and a half without that part of AWS, from the firing on, and two with it; the codes of failures."""
    world.pass_time(18.9)
    world.outage.code, world.outage.calls = code, calls
    seen = set()
    for _ in range(30):
        world.tick()
        world.answer()
        world.clock.move(minutes=5)
        seen |= {json.loads(path.read_text())["code"] for path in world.inbox.rglob("attempts.json")}
    world.outage.code = ""
    world.pass_time(2)
    return seen - {""}


def test_messages_that_were_lost_are_sent_again_by_the_night_itself(tmp_path: Path) -> None:
    """Nobody sweeps: the worker that waits for the answers does, once no message can exist, and not at every look."""
    world = World(tmp_path)
    world.tick()
    world.drop("a.jsonl")
    world.clock.move(hours=19, minutes=1)
    world.tick()
    [job] = world.sent_jobs()
    lost = len(world.sqs.bodies)
    world.sqs.bodies.clear()
    looks: list[int] = []
    while not world.sqs.bodies and len(looks) < 40:
        world.clock.move(minutes=1)
        world.tick()
        looks.append(len(world.sqs.bodies))
    assert 9 <= len(looks) <= 12
    assert (world.sent_jobs(), len(world.sqs.bodies)) == ({job}, lost)
    for _ in range(30):  # they are in the queue now, and nobody sends them a third time
        world.clock.move(minutes=1)
        world.tick()
    assert len(world.sqs.bodies) == lost
    world.pass_time(1)
    assert_answered_once(world, "a.jsonl")


@pytest.mark.parametrize(("code", "calls", "said"), OUTAGES)
def test_aws_that_does_not_answer_for_hours(tmp_path: Path, code: str, calls: tuple[str, ...], said: str) -> None:
    """Busy, KMS down or its key disabled, credentials expired: tried again with growing pauses, and somebody hears.

    One job in the end; the retries are told.
    """
    sns = Sns()
    world = World(tmp_path, tell=[{"sns_topic": TOPIC + "nights"}], sns=sns)
    world.tick()
    world.drop("a.jsonl")
    assert ride_out(world, code, calls) == {said}
    assert_answered_once(world, "a.jsonl")
    [beside] = world.inbox.rglob("a.jsonl.report.json")
    assert 3 < json.loads(beside.read_text())["retries"] < 15
    assert [event["event"] for event in sns.told] == ["run.needs_attention", "run.finished"]


@pytest.mark.parametrize(
    ("code", "calls", "said"),
    [
        ("SlowDown", ("PutObject",), "s3_unavailable"),
        ("ServiceUnavailable", ("SendMessageBatch",), "sqs_unavailable"),
        ("KMSInternalException", ("GenerateDataKey",), "kms_unavailable"),
        ("ExpiredTokenException", (), "kms_credentials"),
    ],
)
def test_a_file_in_ranges_waits_for_aws_too(tmp_path: Path, code: str, calls: tuple[str, ...], said: str) -> None:
    """However often its ranges failed meanwhile: they once were not tried again after the fifth time."""
    sns = Sns()
    settings = NightlySettings.model_construct(range_size=4000)
    world = World(tmp_path, tell=[{"sns_topic": TOPIC + "nights"}], sns=sns, settings=settings)
    world.tick()
    ids = [f"case-{number}" for number in range(100)]
    world.drop("large.jsonl", ids)
    assert ride_out(world, code, calls) == {said}
    assert list(world.delivered().values()) == [ids]
    assert len(world.sent_jobs()) == 1
    assert [event["event"] for event in sns.told] == ["run.needs_attention", "run.finished"]
    [beside] = world.inbox.rglob("large.jsonl.report.json")
    assert json.loads(beside.read_text())["retries"] > 5


def test_a_job_that_outlives_its_deadline_is_delivered_with_what_there_is(tmp_path: Path) -> None:
    """Nobody answers: every line says expired, the input goes to failed/, and the report asks for a person."""
    world = World(tmp_path, options={"deadline": "3h"})
    world.tick()
    world.drop("a.jsonl")
    world.clock.move(hours=19, minutes=1)
    for _ in range(60):
        world.tick()
        world.clock.move(minutes=5)
    assert world.inputs("failed") == ["a.jsonl"]
    [lines] = world.answers.rglob("a.answers.jsonl")
    assert [json.loads(line)["outcome"] for line in lines.read_text().splitlines()] == ["expired", "expired"]
    assert report(world)["needs_a_person"] is True


def test_answers_that_were_tampered_with_are_not_delivered(world: World) -> None:
    """An integrity failure is final: failed/, and a person is needed."""
    world.drop("a.jsonl")
    world.clock.move(hours=19, minutes=1)
    world.tick()
    world.answer()
    [key] = [key for key in world.s3.objects if "/answers/" in key]
    body = bytearray(world.s3.objects[key])
    body[len(body) // 2] ^= 1
    world.s3.objects[key] = bytes(body)
    world.pass_time(1)
    assert world.delivered() == {}
    assert world.inputs("failed") == ["a.jsonl"]
    [beside] = world.inbox.rglob("a.jsonl.report.json")
    assert json.loads(beside.read_text())["refused"]["code"].startswith("integrity_")
