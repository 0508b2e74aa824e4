"""Every named failpoint: a process dies there, is started again, and the job ends undisturbed.

The product holds no hook for this: see `crashing`. Processes end themselves (`os._exit`) or are held and killed. One
death befalls one job. Points are walked in three worlds at the same time, for most of each case is waiting: that of the
bridge's deaths, that of enclave and engine, and that of the clients, whose services live on.
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
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from chaos_jobs import Job, Verdict, make_job
from chaos_processes import Service, environment
from crashing import CRASHED, POINTS, write_armed
from waiting import wait_until

from devstack.measure import measure
from devstack.provision import provisioned
from devstack.stack import MODEL
from enclave_worker.template import load_template
from producer.chunks import ChunkLimits
from producer.forms import InputForm
from producer.submission import SubmitOptions
from producer.submit import submit
from results_consumer.fetch import fetch
from results_consumer.sink import FileSink
from results_consumer.status import JobState, job_status
from sealbatch.aws.clients import producer_clients, reader_kms, reader_s3
from sealbatch.config import load_config
from sealbatch.secret import make_idempotency
from sealbatch.times import JobTimes
from wire.payload import Params
from wire.ticket import Ticket

CLI = "sealbatch.cli:main"
RECORDS = 7
CHUNK = "3"
PATIENCE = 240
HELD = ("submit.batch_sent", "bridge.answer_put", "enclave.chunk_opened", "engine.step_taken", "fetch.line_written")
"""Points at which a process is held and killed from outside too: one of each program."""
CASES = [*((point, "exit") for point in POINTS), *((point, "hold") for point in HELD)]
SERVICES = ("bridge", "enclave", "engine")
LANES = (("bridge",), ("enclave", "engine"), ("submit", "fetch", "follow"))
"""Parts whose points are walked in one world, one after the other."""


class World:
    """The AWS stand-in, an enclave and a bridge; the services die at whatever point `arm` names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dev = folder / "dev"
        self.dev.mkdir(mode=0o700)
        self.home = folder / "home"
        self.home.mkdir()
        self._aws = ExitStack()
        self._aws.enter_context(provisioned(self.dev, image=measure(MODEL)[0].hex()))
        secret, config = self.dev / "secret", self.dev / "sealbatch.toml"
        secret.touch(0o600)
        secret.write_bytes(bytes(32))
        config.write_text(f"secret_file = {json.dumps(str(secret))}\n{config.read_text()}")
        self.config = load_config(self.dev / "sealbatch.toml", ())
        self.services = {name: Service(name, words, folder, extra) for name, words, extra in self._programs()}
        for service in self.services.values():
            service.start()

    def stop(self) -> None:
        """End everything."""
        for service in self.services.values():
            service.kill()
        self._aws.close()

    def armed(self, part: str) -> Path:
        """The file that says at which point a process of this part dies."""
        return self.folder / f"armed-{part}.json"

    def type(self, *words: str) -> None:
        """Type a verb to its end, as a process."""
        start = [sys.executable, "-m", "sealbatch", "--config", str(self.dev / "sealbatch.toml")]
        with (self.folder / "client.log").open("ab") as log:
            subprocess.run(
                [*start, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(self.home),
                check=True,
            )

    def submit(self, job: Job) -> str:
        """Submit under a key; the ticket."""
        sealed = SubmitOptions(
            limits=ChunkLimits(records=int(CHUNK)),
            idempotency=make_idempotency(self.config, job.folder.name, JobTimes()),
        )
        settings, clients = self.config.producer(), producer_clients(self.config)
        with job.questions.open("rb") as source:
            form = InputForm("auto", job.questions.name)
            return str(submit(source, form, Params(), sealed, settings, clients).ticket)

    def fetch(self, ticket: str, job: Job) -> None:
        """Fetch what has ended."""
        s3, kms, sink = reader_s3(self.config), reader_kms(self.config), FileSink(job.answers, overwrite=True)
        fetch(s3, kms, self.config.reader(), Ticket.parse(ticket), sink)

    def dies(self, part: str, point: str, how: str, words: tuple[str, ...]) -> None:
        """Type a verb that dies at its point."""
        armed, work = self.folder / f"armed-{point}-{how}.json", self.work(point, how)
        write_armed(armed, point, how, work)
        start = [sys.executable, "-m", "crashing", part, str(armed), CLI, "--config", str(self.dev / "sealbatch.toml")]
        with (self.folder / "client.log").open("ab") as log:
            process = subprocess.Popen(
                [*start, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(self.home)
            )
        if how == "hold":
            wait_until(work.exists, PATIENCE, "the point")
            process.kill()
        assert process.wait(PATIENCE) == (-signal.SIGKILL if how == "hold" else CRASHED)

    def work(self, point: str, how: str) -> Path:
        """The file that is made when a point is reached."""
        return self.folder / f"{point}.{how}"

    def wait_for(self, ticket: str) -> None:
        """Until every record has an outcome."""
        s3, reader, until = reader_s3(self.config), self.config.reader(), time.monotonic() + PATIENCE
        while job_status(s3, reader, Ticket.parse(ticket)).state is not JobState.COMPLETED:
            assert time.monotonic() < until, "the job did not end"
            threading.Event().wait(0.1)

    def _programs(self) -> Iterator[tuple[str, list[str], dict[str, str]]]:
        crashing, socket = ["-m", "crashing"], self.dev / "enclave.sock"
        engine = [sys.executable, *crashing, "engine", str(self.armed("engine")), "stub_engine:run"]
        words = ["--dev", str(self.dev), "--model", str(MODEL), "--socket", str(socket), "--engine-stall", "20"]
        start = [*crashing, "enclave", str(self.armed("enclave")), "stub_enclave:run"]
        yield "enclave", [*start, *words], {"STUB_ENGINE": shlex.join(engine)}
        words = ["--enclave", f"unix://{socket}", "--visibility", "3", "--grace", "2"]
        start = [*crashing, "bridge", str(self.armed("bridge")), CLI, "--config", str(self.dev / "sealbatch.toml")]
        yield "bridge", [*start, "bridge", *words], {}


def walk(folder: Path, cases: list[tuple[str, str]], results: dict[tuple[str, str], Future[Verdict]]) -> None:
    """Walk these points in a world of their own, one after the other."""
    try:
        world = World(folder)
    except BaseException as error:
        for case in cases:
            results[case].set_exception(error)
        raise
    try:
        for point, how in cases:
            try:
                results[point, how].set_result(one_death(world, point, how))
            except BaseException as error:  # noqa: BLE001 - it is the case's, and the others go on
                results[point, how].set_exception(error)
    finally:
        world.stop()


def one_death(world: World, point: str, how: str) -> Verdict:
    """Take a job to its end although a process dies at `point`."""
    part = point.partition(".")[0]
    name = f"{point.replace('.', '-')}-{how}"
    job = make_job(world.folder / name, name, RECORDS, load_template(MODEL), random.Random(1))
    if part in SERVICES:
        arm_service(world, part, point, how)
    carry(world, job, part, point, how)
    assert world.work(point, how).exists(), "the point was never reached"
    return job.judge()


def arm_service(world: World, part: str, point: str, how: str) -> None:
    """Have a service die at the next call; one that is held there is killed from outside."""
    work = world.work(point, how)
    service = world.services["enclave" if part == "engine" else part]
    find = service.child if part == "engine" else service.target
    wait_until(lambda: find() is not None, PATIENCE, f"the {part}")
    write_armed(world.armed(part), point, how, work)
    if point == "engine.loaded":  # where no engine comes that has loaded before: end the one that has
        find().kill()  # type: ignore[union-attr]
        wait_until(work.exists, PATIENCE, "the point")
    if how == "hold":

        def kill() -> None:
            wait_until(work.exists, PATIENCE, "the point")
            if (target := find()) is not None:
                target.kill()

        threading.Thread(target=kill, daemon=True).start()


def carry(world: World, job: Job, part: str, point: str, how: str) -> None:
    """Submit, wait and fetch; the verb that is to die is typed again after it died, as its user would.

    Verbs that are not to die are called and not typed: starting Python is most of what they cost. The key gives the
    ticket of a submit that died.
    """
    if part == "submit":
        words = ("submit", str(job.questions), "--chunk-size", CHUNK, "--idempotency-key", job.folder.name)
        world.dies(part, point, how, words)
        world.type(*words)
    ticket = world.submit(job)
    if part == "follow":
        words = ("fetch", "--follow", ticket, "-o", str(job.answers), "--force")
        world.dies(part, point, how, words)
        world.type(*words)
        return
    world.wait_for(ticket)
    if part == "fetch":
        words = ("fetch", ticket, "-o", str(job.answers), "--force")
        world.dies(part, point, how, words)
        world.type(*words)
    else:
        world.fetch(ticket, job)


@pytest.fixture(scope="module")
def results() -> Iterator[dict[tuple[str, str], Future[Verdict]]]:
    """What becomes of each case; all lanes begin at once. Sockets have short paths."""
    folder = Path(tempfile.mkdtemp(prefix="failpoints-", dir="/tmp"))
    found: dict[tuple[str, str], Future[Verdict]] = {case: Future() for case in CASES}
    with ThreadPoolExecutor(len(LANES)) as pool:
        for number, parts in enumerate(LANES):
            lane = folder / str(number)
            lane.mkdir()
            pool.submit(walk, lane, [case for case in CASES if case[0].partition(".")[0] in parts], found)
        yield found
    shutil.rmtree(folder)


@pytest.mark.parametrize(("point", "how"), CASES)
def test_a_death_at_any_step_costs_nothing(
    results: dict[tuple[str, str], Future[Verdict]], point: str, how: str
) -> None:
    """Each record is answered once, with the answer of an undisturbed run."""
    verdict = results[point, how].result()
    assert (verdict.lost, verdict.repeated, verdict.wrong) == (0, 0, 0)
    assert verdict.outcomes == {"succeeded": RECORDS}
