"""Two bridges, two enclaves, submitters and readers over one simulated cloud: the real code of each, and real seals."""

import io
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import rsa
from question_factory import ANSWER_ARN, IMAGE, QUESTION_ARN, TENANT
from receipt_factory import CREATED_MS, LASTING_ROOT, PCR1, PCR2, TRUST
from scripted_engine import ScriptedEngine
from simulated.aws import Aws, Cloud
from simulated.network import Network, SimListener
from simulated.runtime import Process, Simulation, replaced

import enclave_worker.keyring
import enclave_worker.server
import vsock_bridge.backoff
import vsock_bridge.link
from aws_errors.service_error import ServiceError
from devstack.nsm import SoftwareNsm
from enclave_worker.engine import Completion
from enclave_worker.server import EnclaveServer
from enclave_worker.settings import Settings
from enclave_worker.template import Template
from enclave_worker.vitals import Vitals
from producer.chunks import ChunkLimits
from producer.clients import Clients as ProducerClients
from producer.errors import ProducerError
from producer.forms import InputForm
from producer.lookup import Idempotency
from producer.settings import ProducerSettings
from producer.submission import SubmitOptions
from producer.submit import submit
from results_consumer.errors import JobNotFinished
from results_consumer.fetch import fetch
from results_consumer.settings import ReaderSettings
from results_consumer.sink import FileSink
from results_consumer.status import JobState, job_status
from sealbatch.canceler import cancel
from sealbatch.sweeper import Sweeper
from vsock_bridge.bridge import Bridge
from vsock_bridge.clients import Clients
from vsock_bridge.settings import BridgeSettings
from wire.address import Address
from wire.manifest import Parameters
from wire.payload import Params
from wire.ticket import Ticket

CANARY = "zanarkand"
"""In every question, and reversed in every answer."""
KILLS = "kills"
"""A word that ends the enclave whose engine meets it."""
STEP = 0.2
"""Seconds of an iteration of the engine."""
RESTART = (0.5, 3.0)
"""Seconds until a service manager has started again what ended."""
PACKAGES = ("wire.", "vsock_bridge.", "enclave_worker.", "producer.", "results_consumer.", "sealbatch.")
INLINE = ("producer.parallel", "results_consumer.prefetch")
TEMPLATE = Template(user_turn="{content}", prompt_end="", stop=())
PRODUCER = ProducerSettings(TENANT, "bucket", "queue", QUESTION_ARN, ANSWER_ARN, IMAGE)
READER = ReaderSettings(TENANT, "bucket", QUESTION_ARN, ANSWER_ARN, TRUST)
_RSA = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]
"""Making one takes longer than all else of a run; enclaves take turns with these."""


Result = TypeVar("Result")


class Engine(ScriptedEngine):
    """Answers with the question reversed, takes its time, and dies of one word."""

    def __init__(self, sim: Simulation, process: Process) -> None:
        super().__init__()
        self._sim = sim
        self._process = process

    def step(self) -> list[Completion]:
        """One iteration."""
        self._sim.sleep(STEP)
        if any(KILLS.encode() in bytes(list(prompt.tokens)) for prompt, _ in self._running.values()):
            self._sim.kill(self._process)
        return super().step()


@dataclass
class Job:
    """What is asked, and what may come of it."""

    key: str
    questions: list[str]
    chunk: int
    deadline: float | None = None
    ticket: Ticket | None = None
    canceled: bool = False
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> bytes:
        """The input."""
        lines = [{"custom_id": f"q{number}", "question": text} for number, text in enumerate(self.questions)]
        return "".join(json.dumps(line) + "\n" for line in lines).encode()

    def check(self, output: list[dict[str, Any]], now: float) -> None:
        """One right outcome a record, and the reasons for others than an answer."""
        assert [int(line["id"].rpartition("_")[2]) for line in output] == list(range(len(self.questions)))
        for number, (question, line) in enumerate(zip(self.questions, output, strict=True)):
            # What the bridge alone says names no custom_id, which is sealed.
            assert line["custom_id"] == (f"q{number}" if line["attested"] else None)
            match line["outcome"]:
                case "succeeded":
                    assert KILLS not in question
                    assert line["attested"]
                    assert line["response"]["body"]["choices"][0]["message"]["content"] == question[::-1]
                case "canceled":
                    assert self.canceled
                case "expired":
                    assert self.deadline is not None
                    assert now >= self.deadline
                case "errored":
                    assert line["error"]["code"] == "enclave_lost", line["error"]
                    assert KILLS in question, "an innocent record was given up"
                case outcome:
                    raise AssertionError(outcome)


class World:
    """Everything, from `start` to `stop`."""

    def __init__(self, seed: int) -> None:
        self.sim = Simulation(seed, CREATED_MS / 1000)
        self.cloud = Cloud(self.sim, LASTING_ROOT.certificate, CANARY)
        self.network = Network(self.sim, self.cloud.look)
        self.bridges: dict[int, tuple[Process, Bridge | None]] = {}
        self.enclaves: dict[int, Process] = {}
        self.jobs: list[Job] = []
        self.ended: Counter[str] = Counter()
        self._addresses = tuple(Address.parse(f"unix:///enclave{n}") for n in range(2))
        self._stack = ExitStack()
        self._ending = False

    def start(self) -> None:
        """Start the services, with restarts as a service manager makes them."""
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        enter = self._stack.enter_context
        enter(replaced(self.sim, *PACKAGES, inline=INLINE))
        enter(mock.patch.object(vsock_bridge.link, "connect", self.network.connect))
        enter(mock.patch.object(vsock_bridge.backoff, "random", self.sim.dice))
        # A connection ends the wait at once; without one there is no need to look so often.
        enter(mock.patch.object(enclave_worker.server, "POLL", 60.0))
        keys = cycle(_RSA)
        made = SimpleNamespace(generate_private_key=lambda **_: next(keys))
        enter(mock.patch.object(enclave_worker.keyring, "rsa", made))
        self._watch_logs()
        for number in range(2):
            self._enclave(number)
            self._bridge(number)

    def stop(self) -> None:
        """End everything at once."""
        self._ending = True
        self.sim.close()
        self._stack.close()

    # Verbs: each in a process of its own, which a fault may end.

    def submit(self, job: Job) -> None:
        """Type submit once; the ticket is there if it went well."""
        options = SubmitOptions(
            limits=ChunkLimits(records=job.chunk),
            parameters=Parameters(job.key, None if job.deadline is None else self._ms(job.deadline)),
            spool_folder=self._folder,
            idempotency=Idempotency(job.key, bytes(32)),
        )

        def work(aws: Any) -> Ticket | None:
            source, clients = io.BytesIO(job.source), ProducerClients(aws, aws, aws)
            return submit(source, InputForm("jsonl"), Params(), options, PRODUCER, clients).ticket

        job.ticket = self._type(work)

    def fetch(self, job: Job) -> bool:
        """Type fetch once; False if the job is not finished, or AWS does not answer."""
        ticket, path = _ticket(job), self._folder / f"{job.key}.jsonl"
        summary = self._type(lambda aws: fetch(aws, aws, READER, ticket, FileSink(path, overwrite=True)))
        if summary is None:
            return False
        job.check([json.loads(line) for line in path.read_text().splitlines()], self.sim.now)
        assert summary.records == len(job.questions)
        counts = (summary.succeeded, summary.truncated, summary.errored, summary.expired, summary.canceled)
        assert sum(counts) == len(job.questions)
        return True

    def cancel(self, job: Job) -> None:
        """Type cancel once."""
        ticket, job.canceled = _ticket(job), True
        self._type(lambda aws: cancel(aws, READER, ProducerClients(aws, aws, aws), PRODUCER, ticket))

    def sweep(self, job: Job, *, force: bool) -> None:
        """Type sweep once."""
        ticket = _ticket(job)
        self._type(
            lambda aws: Sweeper(aws, READER, ProducerClients(aws, aws, aws), PRODUCER).sweep(ticket, force=force)
        )

    def finished(self, job: Job) -> bool:
        """Whether each record has an outcome."""
        ticket = job.ticket
        if ticket is None:
            return False
        status = self._type(lambda aws: job_status(aws, READER, ticket))
        return status is not None and status.state is JobState.COMPLETED

    def _type(self, work: Callable[[Any], Result]) -> Result | None:
        """Run a verb to its end; None if it failed or died."""
        process, results = Process("verb"), []

        def run() -> None:
            try:
                results.append(work(Aws(self.cloud, process)))
            except (ProducerError, ServiceError, JobNotFinished) as error:
                self.ended[type(error).__name__] += 1

        task = self.sim.spawn(run, process)
        self.sim.run(lambda: task.done)
        assert task.fault is None, f"{type(task.fault).__name__}: {task.fault}"
        return results[0] if results else None

    # Services

    def terminate(self, number: int) -> None:
        """SIGTERM to a bridge: it drains, ends, and is started again."""
        bridge = self.bridges[number][1]
        if bridge is not None:
            bridge.stop()

    def _bridge(self, number: int) -> None:
        process = Process(f"bridge{number}")
        self.bridges[number] = (process, None)
        aws: Any = Aws(self.cloud, process)
        settings = BridgeSettings(
            "queue", "bucket", QUESTION_ARN, self._addresses, visibility=30, stall=60.0, grace=5.0
        )

        def work() -> None:
            bridge = Bridge(settings, Clients(aws, aws, aws))
            self.bridges[number] = (process, bridge)
            bridge.run()
            self.ended["bridge drained"] += 1
            self.sim.kill(process)

        self._serve(process, work, partial(self._bridge, number))

    def _enclave(self, number: int) -> None:
        process = self.enclaves[number] = Process(f"enclave{number}")

        def work() -> None:
            registers = {0: bytes.fromhex(IMAGE), 1: PCR1, 2: PCR2}
            nsm = SoftwareNsm(
                LASTING_ROOT, registers, lambda: datetime.fromtimestamp(self.sim.epoch + self.sim.now, UTC)
            )
            listener: Any = SimListener(self.network, self._addresses[number])
            made = Settings(model=Path("/none"), window_chunks=3)
            vitals = Vitals(ready=True, restarts=0, resident=0)
            engine = Engine(self.sim, process)
            EnclaveServer(listener, nsm, engine, TEMPLATE, made, vitals=lambda: vitals).serve_forever()

        self._serve(process, work, partial(self._enclave, number))

    def _serve(self, process: Process, work: Any, again: Any) -> None:
        def delayed() -> None:
            self.sim.sleep(self.sim.dice.uniform(*RESTART))
            work()

        def died() -> None:
            if not self._ending:
                again()

        process.at_death.append(died)
        self.sim.spawn(delayed, process)

    def _ms(self, seconds: float) -> int:
        return int((self.sim.epoch + seconds) * 1000)

    def _watch_logs(self) -> None:
        """No log line may hold plaintext either."""
        logger, look = logging.getLogger("sealbatch"), self.cloud.look

        class Watching(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                look(record.getMessage())

        handler, level, propagates = Watching(), logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        self._stack.callback(logger.removeHandler, handler)
        self._stack.callback(logger.setLevel, level)
        self._stack.callback(setattr, logger, "propagate", propagates)


def _ticket(job: Job) -> Ticket:
    assert job.ticket is not None
    return job.ticket
