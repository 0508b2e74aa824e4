"""Chaos: the real processes, killed and halted at random, behind a proxy that causes the faults of AWS.

`make chaos SECONDS=... SEED=...` runs jobs for so long, lets the last ones come to their end, compares every answer
with the one of an undisturbed run, and prints what it did. Its last line is `lost 0, repeated 0, wrong 0` or the true
numbers, and the exit code is 0 for zeros only. Engine: the stub of `stub_engine`, as everything else is under test.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from chaos_jobs import Client, Job, Verdict, make_job
from chaos_processes import Disturber, Service
from fault_proxy import FaultProxy, Kind, Rule
from waiting import wait_until

from devstack.measure import measure
from devstack.provision import provisioned
from devstack.stack import MODEL
from enclave_worker.template import load_template

ENCLAVES: Final = 2
BRIDGES: Final = 2
CLIENTS: Final = 3
RECORDS: Final = (800, 2400)
"""Fewest and most records of a job."""
LAST_JOBS: Final = 600.0
"""Seconds that the jobs under way get to end when the time is over and nothing is disturbed any more."""
RULES: Final = (
    Rule(Kind.DROP, "PutObject|SendMessageBatch|ReceiveMessage|DeleteMessage", 0.01),
    Rule(Kind.CUT, "GetObject|ListObjectsV2|ReceiveMessage|Decrypt", 0.005),
    Rule(Kind.REFUSE, ".*", 0.005),
    Rule(Kind.UNAVAILABLE, ".*", 0.01),
    Rule(Kind.THROTTLE, ".*", 0.01),
    Rule(Kind.CONFLICT, "PutObject", 0.01),
    Rule(Kind.EXPIRED, "PutObject|GetObject|ReceiveMessage|Decrypt", 0.002),
    Rule(Kind.DELAY, ".*", 0.01, seconds=0.5),
)


@dataclass(frozen=True)
class Options:
    """How long, by which dice, and how often a process is disturbed (mean seconds)."""

    seconds: float
    seed: int
    pause: float
    records: tuple[int, int] = RECORDS


class World:
    """Everything that runs, from `start` to `stop`."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder
        self._options = options
        self._dev = folder / "dev"
        self._dev.mkdir(mode=0o700)
        self._services: list[Service] = []
        self._rest = ExitStack()
        self.proxy: FaultProxy | None = None
        self.disturber: Disturber | None = None
        self.clients: list[Client] = []

    @property
    def config(self) -> Path:
        """The configuration that leads through the proxy."""
        return self._dev / "sealbatch.toml"

    def start(self) -> None:
        """Start all, and wait until the first bridge is connected."""
        upstream = self._rest.enter_context(provisioned(self._dev, image=measure(MODEL)[0].hex())).endpoint()
        self.proxy = self._rest.enter_context(FaultProxy(upstream, seed=self._options.seed))
        self.config.write_text(self.config.read_text().replace(upstream, self.proxy.endpoint))
        enclaves = [self._enclave(f"enclave{n}") for n in range(ENCLAVES)]
        bridges = [self._bridge(f"bridge{n}") for n in range(BRIDGES)]
        for service in (*enclaves, *bridges):
            service.start()
        wait_until((self._dev / "bridge0.ready").exists, 180, "the first bridge")
        self.clients = [Client(str(n), self.config, self._folder) for n in range(CLIENTS)]
        self.proxy.rules = list(RULES)
        targets: dict[str, Callable[[], psutil.Process | None]] = {
            "bridge": lambda: _any(bridges).target(),
            "enclave": lambda: _any(enclaves).target(),
            "engine": lambda: _any(enclaves).child(),
            "client": lambda: _any(self.clients).target(),
        }
        self.disturber = Disturber(targets, self._options.seed, self._options.pause, 12.0)

    def calm(self) -> None:
        """No more faults."""
        if self.disturber is not None:
            self.disturber.stop()
        if self.proxy is not None:
            self.proxy.rules = []

    def stop(self) -> None:
        """End everything."""
        for service in reversed(self._services):
            service.kill()
        self._rest.close()

    def _enclave(self, name: str) -> Service:
        words = ["-m", "stub_enclave", "--dev", str(self._dev), "--model", str(MODEL), "--name", name]
        return self._service(name, [*words, "--socket", str(self._dev / f"{name}.sock"), "--engine-stall", "5"])

    def _bridge(self, name: str) -> Service:
        enclaves = [word for n in range(ENCLAVES) for word in ("--enclave", f"unix://{self._dev}/enclave{n}.sock")]
        words = ["-m", "sealbatch", "--config", str(self.config), "bridge", *enclaves]
        patience = ["--visibility", "15", "--stall", "15", "--grace", "3"]
        return self._service(name, [*words, *patience, "--ready-file", str(self._dev / f"{name}.ready")])

    def _service(self, name: str, words: list[str]) -> Service:
        service = Service(name, words, self._folder)
        self._services.append(service)
        return service


def run(options: Options, folder: Path) -> tuple[Verdict, Counter[str], int]:
    """The verdict over all jobs, the faults by kind, and the number of jobs."""
    world = World(folder, options)
    jobs: list[Job] = []
    try:
        world.start()
        assert world.disturber is not None
        assert world.proxy is not None
        world.disturber.start()
        began = time.monotonic()
        threads = [
            threading.Thread(target=_keep_busy, args=(client, jobs, options, folder, began)) for client in world.clients
        ]
        for thread in threads:
            thread.start()
        while time.monotonic() < began + options.seconds and any(thread.is_alive() for thread in threads):
            time.sleep(1)
        world.calm()
        for thread in threads:
            thread.join()
        faults: Counter[str] = Counter(world.disturber.caused)
        faults.update({f"AWS {kind}": count for kind, count in world.proxy.caused.items()})
    finally:
        world.calm()
        world.stop()
    verdict = Verdict()
    for job in jobs:
        verdict.add(job.judge())
    return verdict, faults, len(jobs)


def _keep_busy(client: Client, jobs: list[Job], options: Options, folder: Path, began: float) -> None:
    dice = random.Random(f"{options.seed} {client.name}")
    template = load_template(MODEL)
    number = 0
    while time.monotonic() < began + options.seconds:
        name = f"job-{client.name}-{number}"
        job = make_job(folder / name, name, dice.randint(*options.records), template, dice)
        jobs.append(job)
        client.carry(job, began + options.seconds + LAST_JOBS)
        number += 1


def _any(things: list):  # type: ignore[no-untyped-def, type-arg]  # noqa: ANN202
    return random.choice(things)


def report(verdict: Verdict, faults: Counter[str], jobs: int, options: Options) -> str:
    """What `make chaos` prints."""
    lines = [f"seed {options.seed}, {options.seconds:.0f} s, {jobs} jobs, {verdict.records} records"]
    lines += [f"  {count:6d} x {kind}" for kind, count in sorted(faults.items())]
    lines.append(f"faults injected: {faults.total()}")
    lines.append("outcomes: " + ", ".join(f"{count} {name}" for name, count in sorted(verdict.outcomes.items())))
    lines.append(f"lost {verdict.lost}, repeated {verdict.repeated}, wrong {verdict.wrong}")
    return "\n".join(lines)


def main() -> int:
    """One run."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=None, help="a random one if none is named")
    parser.add_argument("--pause", type=float, default=4.0, help="mean seconds between two kills or halts")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs")
    parser.add_argument("--small", action="store_true", help="jobs of some dozens of records")
    arguments = parser.parse_args()
    seed = random.randrange(2**31) if arguments.seed is None else arguments.seed
    options = Options(arguments.seconds, seed, arguments.pause, (40, 160) if arguments.small else RECORDS)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    verdict, faults, jobs = run(options, folder)
    bad = bool(verdict.lost or verdict.repeated or verdict.wrong or not verdict.records)
    if arguments.keep or bad:
        sys.stdout.write(f"logs in {folder}\n")
    else:
        shutil.rmtree(folder)
    sys.stdout.write(report(verdict, faults, jobs, options) + "\n")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
