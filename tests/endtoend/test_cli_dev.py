"""`sealbatch dev`: a stack in the background that is whole or not there."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from command import Typist
from waiting import wait_until

from devstack.stack import MODEL

PATIENCE = 120.0


@pytest.fixture(name="typist")
def make_typist(tmp_path: Path) -> Iterator[Typist]:
    """A user with an empty home, whose stack is stopped at the end."""
    typist = Typist(tmp_path)
    yield typist
    typist.type("dev", "down")


def parts(typist: Typist) -> dict[str, int]:
    """Name and process number of each part that `dev status` lists."""
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in typist.type("dev", "status", "--json").stdout.splitlines()
    ]
    assert all(row["state"] == "running" for row in rows)
    return {row["part"]: row["pid"] for row in rows}


def family(pids: dict[str, int]) -> list[psutil.Process]:
    """The parts, and the processes that they started themselves."""
    found = [psutil.Process(pid) for pid in pids.values()]
    return found + [child for process in found for child in process.children(recursive=True)]


def ended(processes: list[psutil.Process]) -> bool:
    """Whether none of them runs any more."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_a_stack_runs_in_the_background_until_it_is_stopped(typist: Typist) -> None:
    """up, status, ask, up again, down, down again; nothing of it is kept."""
    up = typist.type("dev", "up")
    assert up.returncode == 0, up.stderr.decode()
    assert b"sealbatch ask" in up.stderr
    running = parts(typist)
    assert set(running) == {"aws", "enclave", "bridge"}
    processes = family(running)
    asked = typist.type("ask", "How many weeks of parental leave can I take?")
    assert asked.returncode == 0, asked.stderr.decode()
    assert b"for trying out, not for secrets" in asked.stderr
    again = typist.type("dev", "up")
    assert (again.returncode, b"is running already" in again.stderr) == (0, True)
    assert parts(typist) == running
    down = typist.type("dev", "down")
    assert (down.returncode, b"nothing of it is kept" in down.stderr) == (0, True)
    assert ended(processes)
    assert not (typist.folder / ".local/state/sealbatch/dev").exists()
    assert b"no development stack runs" in typist.type("dev", "down").stderr
    assert typist.type("ask", "And now?").returncode == 78


def test_a_stack_is_whole_or_not_there(typist: Typist) -> None:
    """Its supervisor is killed: the parts end too, and the next one starts anew. A part is killed: the stack ends."""
    assert typist.type("dev", "up").returncode == 0
    first = parts(typist)
    processes = family(first)
    supervisor = psutil.Process(first["aws"]).parent()
    assert supervisor is not None
    supervisor.kill()
    wait_until(lambda: ended(processes), PATIENCE, "the end of the parts")
    assert parts(typist) == {}

    again = typist.type("dev", "up")
    assert again.returncode == 0, again.stderr.decode()
    second = parts(typist)
    assert not set(first.values()) & set(second.values())
    processes = family(second)
    os.kill(second["enclave"], signal.SIGKILL)
    wait_until(lambda: ended(processes), PATIENCE, "the end of the stack")
    wait_until(lambda: parts(typist) == {}, PATIENCE, "the end of the supervisor")
    report = (typist.folder / ".local/state/sealbatch/dev.log").read_text()
    assert "the enclave ended with code -9" in report


def test_a_model_that_is_not_its_manifests_starts_nothing(typist: Typist) -> None:
    """The reason stands on the screen, and no half of a stack is left."""
    folder = typist.folder / "bent"
    shutil.copytree(MODEL, folder)
    with (folder / "template.json").open("a") as file:
        file.write("\n")
    done = typist.type("dev", "up", "--model", str(folder))
    assert done.returncode == 75, done.stderr.decode()
    assert b"template.json: size or digest is not the manifest's" in done.stderr
    assert parts(typist) == {}
    assert typist.type("dev", "up", "--model", str(typist.folder)).returncode == 2
