"""A soak: one large job through the real processes, and whether their memory stays where it was.

`make soak RECORDS=100000` submits short questions, waits and fetches, with a bridge, an enclave and its engine process.
Resident memory of each process is taken when a tenth, half and all of its work is done; more than a tenth between them,
or a wrong line of output, and the exit code is 1. The AWS stand-in is measured alone first: the same requests, from
nobody but boto3. Engine: the stub of `stub_engine`, as everything else is under test.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import psutil
from chaos_jobs import CHUNK, LARGE_CHUNKS, Job, make_job
from chaos_processes import Service, environment
from prometheus_client.parser import text_string_to_metric_families
from standin_ceiling import measure_ceiling
from waiting import wait_until

from devstack.measure import measure
from devstack.part import AwsPart
from devstack.provision import provisioned
from devstack.stack import MODEL
from enclave_worker.template import load_template

RECORDS: Final = 100_000
MARKS: Final = (0.1, 0.5, 1.0)
"""Shares of a process's work at which its memory is taken: the start, when caches have filled; the middle; the end."""
TOLERANCE: Final = 1.1
EVERY: Final = 0.1
"""Seconds between two looks."""
MIB: Final = 1 << 20
SEALED: Final = (16_500, 25_000)
"""Bytes of the sealed questions and answers of a chunk here, receipt included."""


@dataclass
class Memory:
    """Resident bytes of a process, each with how much of its work was done; `cpu` is its processor time, seconds."""

    name: str
    judged: bool = True
    samples: list[tuple[float, int]] = field(default_factory=list)
    cpu: float = 0.0

    def at_marks(self) -> list[int]:
        """Bytes when each share of the work was done; before it began, a process only loads its code."""
        last = self.samples[-1][0]
        return [next(size for done, size in self.samples if done and done >= mark * last) for mark in MARKS]

    @property
    def steady(self) -> bool:
        """Whether the three are within the tolerance."""
        sizes = self.at_marks()
        return not self.judged or max(sizes) <= TOLERANCE * min(sizes)


class Watch:
    """Takes the memory of processes until it is left."""

    def __init__(self, done: Callable[[], float], processes: dict[str, psutil.Process], *unjudged: str) -> None:
        """`done` tells how much of the work is done, in any unit."""
        self._done = done
        self._processes = processes
        self.memories = {name: Memory(name, name not in unjudged) for name in processes}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._stop.is_set()
            done = self._done()
            for name, process in self._processes.items():
                try:
                    size, cpu = int(process.memory_info().rss), process.cpu_times()
                except psutil.Error:
                    continue  # a verb that has just ended
                if size:
                    self.memories[name].samples.append((done, size))
                    self.memories[name].cpu = cpu.user + cpu.system
            self._stop.wait(EVERY)


class Stack:
    """The AWS stand-in, an enclave with the stub engine, and a bridge with its endpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dev = folder / "dev"
        self.dev.mkdir(mode=0o700, parents=True)
        self.home = folder / "home"
        self.home.mkdir()
        self.config = self.dev / "sealbatch.toml"
        self._services: dict[str, Service] = {}
        self._aws = ExitStack()
        self._aws_process: psutil.Process | None = None

    def start(self) -> None:
        """Start all, and wait until the bridge is connected."""
        aws = self._aws.enter_context(provisioned(self.dev, image=measure(MODEL)[0].hex()))
        self._aws_process = psutil.Process(aws.pid)
        socket = str(self.dev / "enclave.sock")
        self._run("enclave", "-m", "stub_enclave", "--dev", str(self.dev), "--model", str(MODEL), "--socket", socket)
        words = ["-m", "sealbatch", "--config", str(self.config), "bridge", "--enclave", f"unix://{socket}"]
        self._run("bridge", *words, "--health", "127.0.0.1:0", "--ready-file", str(self.dev / "bridge.ready"))
        wait_until((self.dev / "bridge.ready").exists, 180, "the bridge")

    def stop(self) -> None:
        """End everything."""
        for service in reversed(self._services.values()):
            service.kill()
        self._aws.close()

    def processes(self) -> dict[str, psutil.Process]:
        """What runs all the time."""
        found = {"aws": self._aws_process, **{name: service.target() for name, service in self._services.items()}}
        found["engine"] = self._services["enclave"].child()
        return {name: process for name, process in found.items() if process is not None}

    def answered(self) -> float:
        """Records that the bridge has stored answers of."""
        host_and_port = (self.folder / "bridge.log").read_text().partition("health and metrics host=")[2].split()
        address = f"http://{host_and_port[0]}:{host_and_port[1].removeprefix('port=')}/metrics"
        with urllib.request.urlopen(address, timeout=10) as reply:
            families = text_string_to_metric_families(reply.read().decode())
        found = (sample for family in families for sample in family.samples if sample.name == "sealbatch_records_total")
        return sum(sample.value for sample in found)

    def type(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a verb."""
        with (self.folder / "client.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "sealbatch", "--config", str(self.config), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(self.home),
            )

    def _run(self, name: str, *words: str) -> None:
        self._services[name] = Service(name, list(words), self.folder)
        self._services[name].start()


class Progress:
    """How long a verb has been at work: since it first said how far it is."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._before = log.stat().st_size if log.exists() else 0
        self._began: float | None = None

    def seconds(self) -> float:
        """0 before that."""
        if self._began is None and self._log.exists() and self._log.stat().st_size > self._before:
            self._began = time.monotonic() - EVERY
        return 0.0 if self._began is None else time.monotonic() - self._began


@dataclass
class Soak:
    """One run and what was measured."""

    records: int
    memories: list[Memory] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, stack: Stack, job: Job) -> None:
        """Submit, wait and fetch, with eyes on every process."""
        services = stack.processes()
        began = time.monotonic()
        with Watch(stack.answered, services, "aws") as watch:
            job.ticket = self._verb(stack, "submit", *LARGE_CHUNKS, str(job.questions))
            self._verb(stack, "wait", job.ticket)
            self.seconds["submit to last answer"] = time.monotonic() - began
        self.memories += watch.memories.values()
        self._verb(stack, "fetch", job.ticket, "-o", str(job.answers))
        self.seconds["submit to end of fetch"] = time.monotonic() - began

    def _verb(self, stack: Stack, *words: str) -> str:
        began = time.monotonic()
        progress = Progress(stack.folder / "client.log")
        running = stack.type(*words)
        name = words[0]
        with Watch(progress.seconds, {name: psutil.Process(running.pid)}) as watch:
            said = running.communicate()[0].decode().strip()
        if running.returncode != 0:
            raise RuntimeError(f"{name} ended with {running.returncode}; see {stack.folder}/client.log")
        self.seconds[name] = time.monotonic() - began
        self.memories += watch.memories.values()
        return said

    def report(self) -> str:
        """What `make soak` prints."""
        names = ", ".join(f"{mark:.0%}" for mark in MARKS)
        lines = [f"memory in MiB when {names} of the work is done, and processor time"]
        for memory in self.memories:
            sizes = "  ".join(f"{size / MIB:8.1f}" for size in memory.at_marks())
            verdict = (
                "not judged: it keeps all objects" if not memory.judged else "steady" if memory.steady else "GROWS"
            )
            lines.append(f"  {memory.name:8s} {sizes}  {memory.cpu:6.1f} s  {verdict}")
        lines += [f"{what}: {took:.1f} s, {self.records / took:,.0f} records/s" for what, took in self.seconds.items()]
        return "\n".join(lines)


def alone(folder: Path, chunks: int) -> float:
    """Chunks a second of a fresh AWS stand-in with sealed objects of the usual size."""
    dev = folder / "alone"
    dev.mkdir(mode=0o700)
    aws = AwsPart(dev, dev / "aws.log")
    try:
        return measure_ceiling(aws.endpoint(), chunks, *SEALED)
    finally:
        aws.kill()


def say(text: str) -> None:
    """Print at once: a run is long."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """One run."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir="/tmp"))
    stack, soak = Stack(folder), Soak(arguments.records)
    job = make_job(folder / "job", "soak", arguments.records, load_template(MODEL), random.Random(1), words=4)
    try:
        stack.start()
        soak.run(stack, job)
    finally:
        stack.stop()
    verdict = job.judge()
    good = all(memory.steady for memory in soak.memories)
    good = good and verdict.outcomes == {"succeeded": arguments.records}
    good = good and not (verdict.lost or verdict.repeated or verdict.wrong)
    say(soak.report())
    ceiling = CHUNK * alone(folder, -(-arguments.records // CHUNK))
    say(f"the AWS stand-in alone, the same requests without us: {ceiling:,.0f} records/s")
    say(f"{verdict.records:,} records: lost {verdict.lost}, repeated {verdict.repeated}, wrong {verdict.wrong}")
    if arguments.keep or not good:
        say(f"logs in {folder}")
    else:
        shutil.rmtree(folder)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
