"""What a night asks a real Redis: who may tick, what is being done, what waits; and what it may find there."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import EncodeError
from redis import Redis
from waiting import wait_until

from devstack import valkey
from devstack.part import Part
from sealbatch.config import load_config
from sealbatch.nightly.beat import BeatLock
from sealbatch.nightly.celery_app import NO_ARGUMENTS, make_app, send
from sealbatch.nightly.lease import Leases
from sealbatch.nightly.lint import lint
from sealbatch.nightly.plan import read_plan
from sealbatch.nightly.schedule import NightlySettings
from sealbatch.nightly.tasks import hand_out
from sealbatch.nightly.todo import CLOSE, RANGE, STEP, Todo

LIFE = timedelta(seconds=30)
WORK = [Todo(RANGE, ("benefits", "run", "item", number)) for number in range(3)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Part]:
    """A Valkey."""
    part = valkey.start(tmp_path, tmp_path / "valkey.log")
    yield part
    part.stop(5)


@pytest.fixture
def redis(server: Part, tmp_path: Path) -> Iterator[Any]:
    """Its client."""
    with Redis.from_url(valkey.url(tmp_path)) as client:
        yield client


@pytest.fixture
def app(server: Part, tmp_path: Path) -> Celery:
    """The application on it."""
    return make_app(NightlySettings(redis_url=valkey.url(tmp_path)))


def test_a_beat_without_the_lock_or_without_redis_sends_nothing(server: Part, redis: Any) -> None:
    """The lock fails closed."""
    first, second = BeatLock(redis, 30), BeatLock(redis, 30)
    assert (first.hold(), second.hold(), first.hold()) == (True, False, True)
    redis.flushall()
    assert (second.hold(), first.hold()) == (True, False)
    server.stop(5)
    assert (second.hold(), first.hold()) == (False, False)


def test_a_lease_keeps_others_away_and_its_loss_lets_them_in(server: Part, redis: Any) -> None:
    """It saves work; without Redis everybody works, because correctness does not rest on it."""
    mine, theirs = Leases(redis, LIFE), Leases(redis, LIFE)
    todo, *others = WORK
    assert mine.free(WORK) == WORK
    with mine.run(todo.mark) as ours:
        assert ours
        assert theirs.free(WORK) == others
        with theirs.run(todo.mark) as also:
            assert not also
        redis.flushall()
        with theirs.run(todo.mark) as also:
            assert also
    assert theirs.free(WORK) == WORK
    server.stop(5)
    assert mine.free(WORK) == WORK
    with mine.run(todo.mark) as ours, theirs.run(todo.mark) as also:
        assert ours
        assert also


def test_what_waits_in_the_queue_is_not_put_there_again(redis: Any, app: Celery) -> None:
    """Also beside messages that are none of ours; what a worker has taken and lost is handed out at once.

    It once counted as queued for a quarter of an hour after its worker was killed.
    """
    leases = Leases(redis, LIFE)
    redis.lpush("sealbatch:sealbatch", b"not JSON", b"[]", b'{"headers": null}')
    send(app, WORK[0])
    send(app, WORK[2])
    assert leases.free(WORK) == [WORK[1]]
    redis.ltrim("sealbatch:sealbatch", 0, 1)
    with app.connection_for_read() as connection:
        taken = connection.default_channel.basic_get("sealbatch")
        assert taken.headers["mark"] == WORK[0].mark
        assert leases.free(WORK) == [WORK[0], WORK[1]]


@pytest.mark.parametrize("policy", ["allkeys-random", "noeviction"])
def test_a_redis_without_room_loses_or_refuses_tasks_and_they_are_free_again(tmp_path: Path, policy: str) -> None:
    """Evicted, or never taken: the next tick finds the same work, and no failure leaves a task."""
    server = valkey.start(tmp_path, tmp_path / "log", "--maxmemory-policy", policy)
    try:
        with Redis.from_url(valkey.url(tmp_path)) as redis:
            app, leases = make_app(NightlySettings(redis_url=valkey.url(tmp_path))), Leases(redis, LIFE)
            hand_out(app, leases, WORK[:1])
            assert leases.free(WORK) == WORK[1:]
            redis.config_set("maxmemory", 1)
            hand_out(app, leases, WORK[1:])
            assert leases.free(WORK) == (WORK[1:] if policy == "noeviction" else WORK)
    finally:
        server.stop(5)


HOLDER = """
import sys
from datetime import timedelta
from redis import Redis
from redis.exceptions import OutOfMemoryError
from sealbatch.nightly.lease import Leases
with Leases(Redis.from_url(sys.argv[1]), timedelta(seconds=1)).run(sys.argv[2]):
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_the_work_of_a_worker_that_is_killed_is_free_soon(redis: Any, tmp_path: Path) -> None:
    """It lives on its renewals: longer than a lease while the worker lives, and no longer than one after it."""
    leases = Leases(redis, timedelta(seconds=1))
    words = [sys.executable, "-c", HOLDER, valkey.url(tmp_path), WORK[0].mark]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        token = redis.get(f"sealbatch:lease:{WORK[0].mark}")
        redis.pexpire(f"sealbatch:lease:{WORK[0].mark}", 400)
        wait_until(lambda: redis.pttl(f"sealbatch:lease:{WORK[0].mark}") > 400, 30, "a renewal")
        assert redis.get(f"sealbatch:lease:{WORK[0].mark}") == token
        assert leases.free(WORK) == WORK[1:]
        holder.send_signal(signal.SIGKILL)
    wait_until(lambda: leases.free(WORK) == WORK, 30, "the end of the lease")


def test_a_task_carries_json_and_hides_its_arguments(redis: Any, app: Celery) -> None:
    """Bytes do not go, and what Celery shows of arguments is a word that stands for them."""
    with pytest.raises(EncodeError):
        send(app, Todo(STEP, (object(),)))  # type: ignore[arg-type]  # that is the point
    send(app, Todo(CLOSE, ("benefits", "run")))
    [message] = [json.loads(body) for body in redis.lrange("sealbatch:sealbatch", 0, -1)]
    assert message["headers"]["argsrepr"] == NO_ARGUMENTS
    assert message["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--maxmemory-policy", "noeviction"], []),
        (
            ["--maxmemory-policy", "allkeys-lru"],
            ["redis_url: redis eviction: allkeys-lru; set"],
        ),
        (["--rename-command", "CONFIG", ""], []),
        (["--requirepass", "other"], ["redis_url: redis: not reached (AuthenticationError); start it"]),
    ],
)
def test_the_check_asks_redis_what_it_evicts(tmp_path: Path, options: list[str], said: list[str]) -> None:
    """On the line of the address; also where CONFIG is forbidden, which was once taken for no Redis."""
    text = f'[nightly]\nredis_url = "{valkey.url(tmp_path)}"\n[[schedules]]\nname = "n"\ncron = "0 2 * * *"\n'
    for name in ("inbox", "answers"):
        (tmp_path / name).mkdir(mode=0o700)
        text += f'{name} = "{tmp_path / name}"\n'
    path = tmp_path / "sealbatch.toml"
    path.write_text(text + 'time_zone = "UTC"\ntell = [{command = ["true"]}]\n')
    socket = tmp_path / "valkey.sock"
    words = ["--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path), "--save", "", *options]
    server = Part("valkey", words, tmp_path / "log", program=valkey.find_server())
    try:
        wait_until(socket.exists, 30, "the server")
        found = lint(read_plan(load_config(path, (), {})), datetime(2026, 11, 25, tzinfo=UTC))
    finally:
        server.stop(5)
    assert [finding.line for finding in found] == [2] * len(said)
    assert all(finding.message.startswith(words) for finding, words in zip(found, said, strict=True))
