"""A night with real workers, a real beat and a real Redis, of which some are killed; time is the schedule's own."""

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bridge_page import samples
from canary import Canary
from command import Typist
from night_world import QUESTION
from redis import Redis
from waiting import wait_until

from devstack.nightly import NightParts
from devstack.stack import Stack

EVENING = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
FIRING = datetime(2026, 11, 25, 7, 0, 30, tzinfo=UTC)
SLOW = 120.0
"""Seconds that a condition may take on a machine that does other things too."""


@contextmanager
def prepared(stack: Stack, folder: Path, **settings: str) -> Iterator[NightParts]:
    """A schedule on the shared stack, with Valkey, before anything else of it runs."""
    folders = {name: folder / name for name in ("inbox", "answers", "night")}
    for path in folders.values():
        path.mkdir(mode=0o700)
    schedule = {
        "name": "benefits",
        "cron": "0 2 * * *",
        "time_zone": "America/New_York",
        "inbox": str(folders["inbox"]),
        "answers": str(folders["answers"]),
        "tell": [{"command": ["sh", "-c", f"cat >> {folder}/told"]}],
    }
    with NightParts(folders["night"], stack.config, [schedule], **settings) as parts:
        parts.set_clock(EVENING)
        parts.start_valkey()
        yield parts


@pytest.fixture
def night(stack: Stack, tmp_path: Path) -> Iterator[NightParts]:
    """A schedule with the settings that it has by itself."""
    with prepared(stack, tmp_path) as parts:
        yield parts


@pytest.fixture
def redis(night: NightParts) -> Iterator[Any]:
    """A client of the night's Valkey."""
    with Redis(unix_socket_path=night.redis_url.removeprefix("unix://")) as client:
        yield client


def drop(folder: Path, name: str, ids: list[str], *, fill: int = 0) -> None:
    """A file that was written an hour before the evening, each line with `fill` blanks before its end."""
    path = folder / "inbox" / name
    lines = (json.dumps({"custom_id": one, "question": QUESTION}) + " " * fill + "\n" for one in ids)
    path.write_text("".join(lines))
    os.utime(path, (EVENING.timestamp() - 3600,) * 2)


def found(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder."""
    return sorted(folder.rglob(pattern))


def test_a_night_in_which_workers_beats_and_redis_are_killed(night: NightParts, redis: Any, tmp_path: Path) -> None:
    """Two beats, a worker killed in the middle, Redis flushed, then killed: two files, two jobs, told once."""
    drop(tmp_path, "a.jsonl", ["a-1", "a-2"])
    drop(tmp_path, "b.jsonl", ["b-1"])
    worker, beat = night.start_worker(concurrency=2), night.start_beat()
    night.start_beat()
    wait_until((tmp_path / "inbox/.sealbatch/benefits/first-seen.json").exists, SLOW, "the first tick")
    night.set_clock(FIRING, speed=5)
    wait_until(lambda: found(tmp_path, "claim.json"), SLOW, "a file in work")
    worker.signal(signal.SIGKILL)
    beat.signal(signal.SIGKILL)
    redis.flushall()
    night.start_worker(concurrency=1)
    wait_until(lambda: len(found(tmp_path, "ticket.json")) == 2, SLOW, "both jobs")
    kept = _everything(redis)
    night.parts[0].signal(signal.SIGKILL)
    wait_until(lambda: not night.parts[0].running(), SLOW, "Redis's end")
    night.start_valkey()
    wait_until(lambda: len(found(tmp_path, "finished.json")) == 2, SLOW, "both answers")
    night.set_clock(FIRING.replace(hour=12), speed=5)
    wait_until((tmp_path / "told").exists, SLOW, "the news")
    wait_until(lambda: found(tmp_path, "closed.json"), SLOW, "the end of the run")
    [line] = (tmp_path / "told").read_text().splitlines()
    told = json.loads(line)
    assert (told["files"]["delivered"], told["records"]["succeeded"], len(told["jobs"])) == (2, 3, 2)
    texts = [path.read_text() for path in found(tmp_path, "*.answers.jsonl")]
    delivered = [json.loads(line) for text in texts for line in text.splitlines()]
    assert sorted(line["custom_id"] for line in delivered) == ["a-1", "a-2", "b-1"]
    assert [path.name for path in found(tmp_path / "inbox/done", "*.jsonl")] == ["a.jsonl", "b.jsonl"]
    _assert_clean(night, kept + _everything(redis), [QUESTION, *(answer(line) for line in delivered)])


@pytest.fixture
def ranged(stack: Stack, tmp_path: Path) -> Iterator[NightParts]:
    """A schedule with ranges as small as they may be, and little patience with workers."""
    with prepared(stack, tmp_path, range_size="1 MB", lost_after="3s") as parts:
        yield parts


@pytest.mark.parametrize("flush", [False, True])
def test_a_file_in_ranges_outlives_its_worker_and_a_flushed_redis(
    ranged: NightParts, tmp_path: Path, *, flush: bool
) -> None:
    """Killed before all ranges are sealed, and two others end it: one job, every line answered once, in order.

    What the worker had taken once counted as queued for a quarter of an hour, unless Redis was flushed.
    """
    ids = [f"r-{number}" for number in range(24)]
    drop(tmp_path, "large.jsonl", ids, fill=500_000)
    first = ranged.start_worker()
    ranged.start_beat()
    wait_until((tmp_path / "inbox/.sealbatch/benefits/first-seen.json").exists, SLOW, "the first tick")
    ranged.set_clock(FIRING, speed=5)
    wait_until(lambda: found(tmp_path, "checked.json"), SLOW, "a range in work")
    first.signal(signal.SIGKILL)
    wait_until(lambda: not first.running(), SLOW, "the worker's end")
    if flush:
        with Redis(unix_socket_path=ranged.redis_url.removeprefix("unix://")) as client:
            client.flushall()
    [claim] = found(tmp_path, "claim.json")
    total = len(json.loads(claim.read_text())["ranges"])
    assert total > 8
    assert len(found(tmp_path, "uploaded.json")) < total
    assert found(tmp_path, "manifest.json") == []
    ranged.start_worker()
    ranged.start_worker()
    wait_until(lambda: found(tmp_path / "answers", "large.answers.jsonl"), SLOW, "the answers")
    [path] = found(tmp_path / "answers", "large.answers.jsonl")
    assert [json.loads(line)["custom_id"] for line in path.read_text().splitlines()] == ids
    assert len(found(tmp_path, "ticket.json")) == 1
    assert found(tmp_path / "inbox", "sealed/*") == []


def answer(line: dict[str, Any]) -> str:
    """The text of an answer."""
    return str(line["response"]["body"]["choices"][0]["message"]["content"])


def _everything(redis: Any) -> bytes:
    """All that Redis holds."""
    return b"\n".join(key + b" " + (redis.dump(key) or b"") for key in redis.scan_iter())


def _assert_clean(night: NightParts, redis: bytes, words: list[str]) -> None:
    """No word of a question or answer in Redis or in a log; nor a custom_id."""
    canary = Canary(words)
    assert canary.find(redis) == set()
    for log in (night.folder / "log").iterdir():
        assert canary.find_in_file(log) == set()
        assert b"a.jsonl" not in log.read_bytes()


def test_the_schedule_is_typed(night: NightParts, tmp_path: Path) -> None:
    """run-now, ls, pause, resume, top and beat, as a user types them; what run-now takes is answered."""
    typist = Typist(tmp_path, night.config, {"SEALBATCH_CLOCK_FILE": str(night.clock)})
    drop(tmp_path, "a.jsonl", ["a-1"])
    begun = typist.type("schedule", "run-now", "benefits")
    run = begun.stdout.decode().strip()
    assert run == "2026-11-24T220000Z-now"
    assert b"takes files until Tue 2026-11-24 17:15 EST" in begun.stderr
    night.set_clock(EVENING, speed=5)
    night.start_worker()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "{}:{}".format(*free.getsockname())
    night.start_beat("--health", address)
    wait_until(lambda: found(tmp_path / "answers", "a.answers.jsonl"), SLOW, "the answers")
    assert typist.type("schedule", "pause", "benefits").returncode == 0
    [row] = [json.loads(line) for line in typist.type("schedule", "ls").stdout.splitlines()]
    assert (row["state"], row["last_run"]) == ("paused", run)
    assert typist.type("schedule", "resume", "benefits").returncode == 0
    view = json.loads(typist.type("top", "--once", "--json").stdout)
    assert (view["redis"], view["beat"], view["queued"]) == (True, True, 0)
    assert b"queue 0 waiting" in typist.type("top", "--once").stdout
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
        figures = samples(reply.read().decode())
    assert figures["sealbatch_beat_ticks_total"] > 0
    assert figures["sealbatch_schedule_open_timestamp_seconds benefits"] > 0
    with urllib.request.urlopen(f"http://{address}/healthz", timeout=10) as reply:
        assert json.load(reply)["healthy"] is True
    taken = typist.type("beat", "--health", address)
    assert taken.returncode != 0
    assert b"in use" in taken.stderr
