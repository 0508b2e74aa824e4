"""Every named failpoint, one after the other: a process dies there, is started again, and the job ends undisturbed.

The product holds no hook for this: see `crashing`. Processes end themselves (`os._exit`) or are held and killed.
"""

import json
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_jobs import Job, make_job
from chaos_processes import Service, environment
from crashing import CRASHED, POINTS
from typer.testing import CliRunner
from waiting import wait_until

from devstack.measure import measure
from devstack.provision import provision
from devstack.root import DevelopmentRoot
from devstack.stack import MODEL, TENANT
from enclave_worker.template import load_template
from sealbatch.cli import app

CLI = "sealbatch.cli:main"
RECORDS = 7
CHUNK = "3"
HELD = ("submit.batch_sent", "bridge.answer_put", "enclave.chunk_opened", "engine.step_taken", "fetch.line_written")
"""Points at which a process is held and killed from outside too: one of each program."""
CASES = [*((point, "exit") for point in POINTS), *((point, "hold") for point in HELD)]


class World:
    """The AWS stand-in, an enclave and a bridge, of which any can be started with a failpoint in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dev = folder / "dev"
        self.dev.mkdir(mode=0o700)
        self.home = folder / "home"
        self.home.mkdir()
        DevelopmentRoot.ensure(self.dev)
        self._aws = Service("aws", ["-m", "devstack.aws", "--dev", str(self.dev)], folder)
        self._aws.start()
        wait_until((self.dev / "aws.json").exists, 120, "the AWS stand-in")
        endpoint = json.loads((self.dev / "aws.json").read_text())["endpoint"]
        provision(endpoint, tenant=TENANT, image=measure(MODEL)[0].hex(), folder=self.dev)
        self._services: dict[str, Service] = {}

    def stop(self) -> None:
        """End everything."""
        for service in (*self._services.values(), self._aws):
            service.stop()

    def run(self, name: str, armed: list[str] | None = None, engine: str | None = None) -> Service:
        """The enclave or the bridge; started anew if it, or its engine, is to be armed with a failpoint."""
        if (armed is not None or engine is not None) and name in self._services:
            self._services.pop(name).stop()
        if name not in self._services:
            plain, program = ("stub_enclave", "stub_enclave:run") if name == "enclave" else ("sealbatch", CLI)
            start = ["-m", plain] if armed is None else ["-m", "crashing", *armed, program]
            words = self._enclave() if name == "enclave" else self._bridge()
            extra = None if engine is None else {"STUB_ENGINE": engine}
            self._services[name] = Service(name, [*start, *words], self.folder, extra)
            self._services[name].start()
        return self._services[name]

    def type(self, *words: str) -> tuple[int, str]:
        """Type a verb to its end; its exit code and standard output. In this process, for it is not to die."""
        runner = CliRunner(env={"HOME": str(self.home), "XDG_STATE_HOME": str(self.home / ".local/state")})
        done = runner.invoke(app, ["--config", str(self.dev / "sealbatch.toml"), *words])
        return done.exit_code, done.stdout.strip()

    def start(self, *words: str, armed: list[str]) -> subprocess.Popen[bytes]:
        """Start a verb armed with the words of a failpoint."""
        with (self.folder / "client.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "crashing", *armed, CLI, "--config", str(self.dev / "sealbatch.toml"), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(self.home),
            )

    def _enclave(self) -> list[str]:
        socket = str(self.dev / "enclave.sock")
        return ["--dev", str(self.dev), "--model", str(MODEL), "--socket", socket, "--engine-stall", "20"]

    def _bridge(self) -> list[str]:
        enclave = ["--enclave", f"unix://{self.dev}/enclave.sock"]
        return ["--config", str(self.dev / "sealbatch.toml"), "bridge", *enclave, "--visibility", "3", "--grace", "2"]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One for all points; its sockets have short paths."""
    folder = Path(tempfile.mkdtemp(prefix="failpoints-", dir="/tmp"))
    world = World(folder)
    yield world
    world.stop()
    shutil.rmtree(folder)


def carry(world: World, job: Job, armed: list[str] | None, part: str) -> None:
    """Submit, wait and fetch; the verb that is armed is typed again after it died, as its user would."""
    submit = ("submit", str(job.questions), "--chunk-size", CHUNK, "--idempotency-key", job.folder.name)
    code, ticket = dying(world, submit, armed if part == "submit" else None)
    assert code == 0
    assert world.type("wait", ticket, "--timeout", "120")[0] == 0
    code, _ = dying(world, ("fetch", ticket, "-o", str(job.answers), "--force"), armed if part == "fetch" else None)
    assert code == 0


def dying(world: World, words: tuple[str, ...], armed: list[str] | None) -> tuple[int, str]:
    """A verb that dies at its point the first time; what comes of the second."""
    if armed is None:
        return world.type(*words)
    process = world.start(*words, armed=armed)
    if armed[1] == "hold":
        wait_until(Path(armed[2]).exists, 120, "the point")
        process.kill()
    assert process.wait(120) == (-signal.SIGKILL if armed[1] == "hold" else CRASHED)
    return world.type(*words)


def kill_when_reached(work: Path, service: Service, part: str) -> threading.Thread:
    """Kill the process that is held at its point, from outside."""

    def kill() -> None:
        wait_until(work.exists, 200, "the point")
        target = service.child() if part == "engine" else service.target()
        if target is not None:
            target.kill()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(("point", "how"), CASES)
def test_a_death_at_any_step_costs_nothing(world: World, point: str, how: str) -> None:
    """Each record is answered once, with the answer of an undisturbed run."""
    part = point.partition(".")[0]
    work = world.folder / f"{point}.{how}"
    armed = [point, how, str(work)]
    name = f"{point.replace('.', '-')}-{how}"
    job = make_job(world.folder / name, name, RECORDS, load_template(MODEL), random.Random(1))
    if part == "engine":
        command = shlex.join([sys.executable, "-m", "crashing", *armed, "stub_engine:run"])
        service = world.run("enclave", engine=command)
    elif part in {"enclave", "bridge"}:
        service = world.run(part, armed)
    else:
        service = world.run("bridge")
    if how == "hold" and part in {"engine", "enclave", "bridge"}:
        kill_when_reached(work, service, part)
    world.run("enclave")
    world.run("bridge")
    carry(world, job, armed, part)
    assert work.exists(), "the point was never reached"
    verdict = job.judge()
    assert (verdict.lost, verdict.repeated, verdict.wrong) == (0, 0, 0)
    assert verdict.outcomes == {"succeeded": RECORDS}
