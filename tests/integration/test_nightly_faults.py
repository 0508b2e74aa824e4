"""The table of faults of a night: whatever happens, each file is answered once, or set aside once, and somebody knows.

Every fault of Celery and Redis comes down to work that is done twice, late, never, or half; that is what happens here,
with time that the tests move. `tests/endtoend/test_nightly_services.py` has the same with processes that are killed.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from night_world import ANSWER, QUESTION, START, Dial, World

from sealbatch.nightly.schedule import NightlySettings
from wire.ledger import parse_chunk_message


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A schedule that has been seen, before its first firing, with nothing in its inbox."""
    world = World(tmp_path)
    world.tick()
    return world


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


@pytest.mark.parametrize("broken", ["PutObject", "GetObject", "queue"])
def test_aws_that_does_not_answer_for_hours(world: World, broken: str) -> None:
    """Tried again with growing pauses; one job in the end, and the retries are told."""
    world.drop("a.jsonl")
    world.pass_time(18.9)
    world.s3.broken, world.sqs.broken = ("", True) if broken == "queue" else (broken, False)
    for _ in range(30):
        world.tick()
        world.clock.move(minutes=5)
    world.s3.broken, world.sqs.broken = "", False
    world.pass_time(2)
    assert_answered_once(world, "a.jsonl")
    [beside] = world.inbox.rglob("a.jsonl.report.json")
    assert 3 < json.loads(beside.read_text())["retries"] < 15


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


def test_a_paused_schedule_begins_nothing_and_catches_nothing_up(world: World) -> None:
    """Files wait in the inbox for the first firing after `resume`."""
    world.drop("a.jsonl")
    assert world.night().pause()
    assert not world.night().pause()
    world.pass_time(48)
    assert [path.name for path in world.inbox.glob("*.jsonl")] == ["a.jsonl"]
    assert world.night().resume()
    world.pass_time(12)
    assert world.delivered() == {}
    world.pass_time(24)
    assert_answered_once(world, "a.jsonl")


def test_a_run_that_a_person_starts_does_not_move_those_of_the_schedule(world: World) -> None:
    """It takes what is there; the night's own run comes all the same."""
    world.drop("a.jsonl")
    run = world.night().begin(world.clock.now(), manual=True)
    world.pass_time(2)
    assert list(world.delivered()) == [f"{run}/a.answers.jsonl"]
    world.drop("b.jsonl")
    world.pass_time(24)
    assert_answered_once(world, "a.jsonl", "b.jsonl")


class Endpoint(BaseHTTPRequestHandler):
    """A webhook that keeps what it is told, and refuses while `refuse`."""

    told: list[dict[str, Any]]
    refuse: bool

    def do_POST(self) -> None:
        """Take it, or not."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).told.append(json.loads(body))
        self.send_response(503 if type(self).refuse else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def webhook() -> Iterator[tuple[str, type[Endpoint]]]:
    """An endpoint on this machine."""

    class Own(Endpoint):
        told: list[dict[str, Any]] = []  # noqa: RUF012 - one list for each endpoint is the point
        refuse = False

    server = HTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?token=secret", Own
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Sns:
    """A topic."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def publish(self, **request: Any) -> None:
        """Take it."""
        if "broken" in request["TopicArn"]:
            raise ClientError({"Error": {"Code": "NotFound", "Message": "x"}}, "Publish")
        self.told.append(json.loads(request["Message"]))


TOPIC = "arn:aws:sns:eu-central-1:123456789012:"


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
