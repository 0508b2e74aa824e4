"""A parent under our control: it does what the bridge does, and what root on the host could do instead."""

import hashlib
import io
import json
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import boto3
from canary import Canary
from fault_proxy import FaultProxy
from hostile_parent import HostileParent
from hostile_way import HostileWay

from devstack.nsm import SoftwareNsm
from devstack.root import DevelopmentRoot
from devstack.stack import MODEL, Stack
from enclave_worker.measured import measure_model
from producer.chunks import ChunkLimits
from producer.clients import Clients as ProducerClients
from producer.forms import InputForm
from producer.submission import SubmitOptions
from producer.submit import submit
from results_consumer.errors import Check, IntegrityError, JobNotFinished
from results_consumer.fetch import fetch
from results_consumer.sink import StreamSink
from results_consumer.tally import FetchSummary
from results_consumer.trust import Release
from sealbatch.aws.clients import bridge_clients, producer_clients, reader_kms, reader_s3
from sealbatch.config import Config, load_config
from sealbatch.exits import Exit
from sealbatch.verbs.jobs import exit_for
from wire import ledger
from wire.address import Address
from wire.envelope import parse_questions
from wire.header import QuestionHeader
from wire.manifest import Parameters
from wire.messages import Message, Work
from wire.payload import Params
from wire.ticket import Ticket

MAX_TOKENS = 3
M = TypeVar("M", bound=Message)


class Accepted(AssertionError):  # noqa: N818 - what must not happen
    """An attack had an effect that it must not have."""


@dataclass(frozen=True)
class Verdict:
    """What happened to an attack, and by what it was caught."""

    happened: str
    caught: str


@dataclass(frozen=True)
class Fetched:
    """What a reader got."""

    summary: FetchSummary
    lines: list[dict[str, Any]]

    @property
    def answers(self) -> list[str | None]:
        """The answers' texts in order, None where there is none."""
        found = [line["response"] for line in self.lines]
        return [None if it is None else it["body"]["choices"][0]["message"]["content"] for it in found]


@dataclass
class VictimJob:
    """A job of the victim, whose questions hold a canary."""

    stage: "Stage"
    ticket: Ticket
    canary: str
    honest: list[str | None] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def remember(self) -> None:
        """Note what lies in the bucket for the job."""
        self.objects = {key: self.stage.get(key) for key in self.stage.keys(self.key(""))}

    def restore(self) -> None:
        """Make the bucket hold for the job what it held when that was noted."""
        for key in set(self.stage.keys(self.key(""))) - self.objects.keys():
            self.stage.remove(key)
        for key, body in self.objects.items():
            self.stage.put(key, body)

    @property
    def tenant(self) -> str:
        """The victim's tenant."""
        return self.stage.settings.tenant

    def key(self, kind: str) -> str:
        """A key below the job."""
        return f"{ledger.job_prefix(self.tenant, self.ticket.job)}{kind}"

    def chunks(self) -> list[bytes]:
        """The sealed questions, in the order of chunks."""
        return [self.stage.get(key) for key in self.stage.keys(self.key("questions/"))]

    def answers(self) -> list[str]:
        """Keys of the answers, in the order of chunks."""
        return self.stage.keys(self.key("answers/"))

    def works(self) -> list[Work]:
        """The honest work of each chunk."""
        return [
            Work(0, header.first, header.count, sealed)
            for sealed in self.chunks()
            for header in [parse_questions(sealed).header]
        ]


class Stage:
    """A running stack without a bridge: whoever is on stage is the parent."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.config = self.load(stack.config)
        self.settings = self.config.producer()
        self.producer: ProducerClients = producer_clients(self.config)
        self.bridge = bridge_clients(self.config)
        self.root = DevelopmentRoot.load(stack.folder)
        session = boto3.session.Session("root", "root", region_name=self.config.resources.region)
        self._session = session
        self.bucket: Any = session.resource("s3", endpoint_url=stack.endpoint).Bucket(self.settings.bucket)
        self.seen: list[bytes] = []
        self.canaries: list[str] = []
        self.image = self.settings.image
        self._answered: dict[tuple[int, int], list[VictimJob]] = {}
        self._handed: Counter[tuple[int, int]] = Counter()
        self._rest = ExitStack()
        self._way: HostileWay | None = None
        self._truth: list[str | None] | None = None

    def load(self, path: Path) -> Config:
        """A configuration."""
        return load_config(path, ())

    def begin(self) -> None:
        """Another attack begins: what the last one did to jobs that were answered is forgotten."""
        self._handed.clear()

    def close(self) -> None:
        """End what attacks have started."""
        self._rest.close()

    def way(self) -> HostileWay:
        """A real bridge, with the parent between it and everything else. From its first use on it takes every job."""
        if self._way is None:
            self.client("sqs").purge_queue(QueueUrl=self.config.resources.queue_url)
            self._way = self._rest.enter_context(HostileWay(self.stack, self.address, self.seen))
        self._way.reset()
        return self._way

    def baseline(self, questions: Sequence[str]) -> list[str | None]:
        """The true answers to these questions, as an undisturbed job had them."""
        if self._truth is None:
            job = self.submit(questions=questions)
            self.way_until(lambda: self.told(job) == len(questions), "the undisturbed job")
            found = self.fetch(job)
            if not found.summary.records == found.summary.succeeded + found.summary.truncated == len(questions):
                raise Accepted("an undisturbed job is not answered")
            self._truth = found.answers
        return self._truth

    def told(self, job: "VictimJob") -> int:
        """How many records of a job have an object in the bucket that says what became of them, true or not."""
        names = [key.rpartition("/")[2] for kind in ("answers/", "failures/") for key in self.keys(job.key(kind))]
        return sum(ledger.parse_answer_name(name).count for name in names if "~" not in name)

    def way_until(self, predicate: Callable[[], object], what: str) -> None:
        """See `HostileWay.until`."""
        assert self._way is not None
        self._way.until(predicate, what)

    def way_proxy(self) -> FaultProxy:
        """What stands between the bridge and AWS; it goes on doing what it was told last."""
        assert self._way is not None
        return self._way.proxy

    def way_seen(self, kind: type[M]) -> list[M]:
        """The messages of a type that the relay has carried in this attack."""
        assert self._way is not None
        return [message for message in self._way.relay.passed if isinstance(message, kind)]

    def client(self, service: str) -> Any:
        """A client of whoever owns the account."""
        return self._session.client(service, endpoint_url=self.stack.endpoint)  # type: ignore[call-overload]

    def nsm(
        self,
        pcr0: bytes | None = None,
        root: DevelopmentRoot | None = None,
        manifest: bytes | None = None,
        **clock: Any,
    ) -> SoftwareNsm:
        """A software NSM under the stack's root: what an enclave of the attacker's own could be attested as.

        It has measured the stack's model, or the one with this manifest.
        """
        nsm = SoftwareNsm(root or self.root, {0: bytes.fromhex(self.image) if pcr0 is None else pcr0}, **clock)
        data = (MODEL / "manifest.json").read_bytes() if manifest is None else manifest
        measure_model(nsm, hashlib.sha256(data).digest())
        return nsm

    # Objects

    def get(self, key: str) -> bytes:
        """An object."""
        body: bytes = self.bucket.Object(key).get()["Body"].read()
        return body

    def put(self, key: str, body: bytes) -> None:
        """Write an object over whatever is there."""
        self.bucket.put_object(Key=key, Body=body)

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.bucket.Object(key).delete()

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix, in order."""
        return sorted(item.key for item in self.bucket.objects.filter(Prefix=prefix))

    def change(self, key: str, change: Callable[[bytearray], None]) -> None:
        """Change an object's bytes."""
        data = bytearray(self.get(key))
        change(data)
        self.put(key, bytes(data))

    def swap(self, one: str, two: str) -> None:
        """Exchange two objects."""
        first, second = self.get(one), self.get(two)
        self.put(one, second)
        self.put(two, first)

    # The victim

    def new_canary(self) -> str:
        """A word that stands in what the victim asks and nowhere else."""
        self.canaries.append(f"kestrel{secrets.token_hex(8)}")
        return self.canaries[-1]

    def submit(
        self,
        records: int = 4,
        chunk: int = 2,
        *,
        questions: Sequence[str] | None = None,
        parameters: Parameters | None = None,
        kms: Any = None,
    ) -> VictimJob:
        """Submit a job of the victim's; `kms` stands in for the producer's client. A retry is linked by a wrong key."""
        canary = self.new_canary()
        asked = questions or [f"How many days of leave, {canary} {n}?" for n in range(records)]
        lines = [json.dumps({"custom_id": f"{canary}-{n}", "question": text}) for n, text in enumerate(asked)]
        done = submit(
            io.BytesIO("\n".join(lines).encode() + b"\n"),
            InputForm(name="questions.jsonl"),
            Params(max_tokens=MAX_TOKENS),
            SubmitOptions(
                limits=ChunkLimits(records=chunk),
                parameters=parameters or Parameters(),
                retry_key=None if parameters is None or parameters.retry is None else bytes(32),
            ),
            self.settings,
            self.producer if kms is None else replace(self.producer, kms=kms),
        )
        assert done.ticket is not None
        return VictimJob(self, done.ticket, canary)

    def answered(self, records: int = 4, chunk: int = 2) -> VictimJob:
        """A job that was answered truly, with its honest answers: another one for each call of an attack."""
        size = records, chunk
        made, number = self._answered.setdefault(size, []), self._handed[size]
        self._handed[size] += 1
        if number < len(made):
            made[number].restore()
            return made[number]
        made.append(self.answer_all(self.submit(records, chunk)))
        made[-1].remember()
        return made[-1]

    def answer_all(self, job: VictimJob) -> VictimJob:
        """Have a job answered truly; its honest answers are remembered."""
        with self.parent() as parent:
            for work in job.works():
                self.store(work, parent.answer(work))
        job.honest = self.fetch(job).answers
        assert all(text is not None for text in job.honest)
        return job

    def store(self, work: Work, sealed: bytes) -> str:
        """Put an answer where the bridge puts it; its key."""
        header: QuestionHeader = parse_questions(work.sealed).header
        key = ledger.answer_key(header.tenant, header.job, header.chunk, work.first, work.count)
        self.put(key, sealed)
        return key

    # The parent and the reader

    @property
    def address(self) -> Address:
        """Where the enclave listens."""
        return Address.parse(json.loads((self.stack.folder / "enclave.json").read_text())["address"])

    def parent(self, address: Address | None = None) -> HostileParent:
        """A connection to the enclave, or to another one; all that it hears is remembered."""
        return HostileParent(address or self.address, self.bridge.kms, self.seen)

    def fetch(
        self,
        job: VictimJob,
        out: io.BytesIO | None = None,
        now_ms: int | None = None,
        releases: tuple[Release, ...] = (),
    ) -> Fetched:
        """What the victim's reader does, by the clock or at another time, who accepts these releases, or any."""
        out = io.BytesIO() if out is None else out
        s3, kms = reader_s3(self.config), reader_kms(self.config)
        summary = fetch(s3, kms, self.config.reader(releases), job.ticket, StreamSink(out), now_ms=now_ms)
        return Fetched(summary, [json.loads(line) for line in out.getvalue().splitlines()])

    # Verdicts

    def refused(self, job: VictimJob, check: Check, detail: str = "", releases: tuple[Release, ...] = ()) -> Verdict:
        """The reader, who accepts these releases, or any, refuses at this check and writes no byte."""
        out = io.BytesIO()
        try:
            self.fetch(job, out, releases=releases)
        except IntegrityError as error:
            if error.check is not check or detail not in str(error) or out.getvalue():
                raise Accepted(f"refused by {error}, {len(out.getvalue())} bytes were written") from None
            step = str(error).partition("receipt step ")[2].partition(":")[0]
            by = f"receipt step {step}" if step else f"check {check.value} ({check.name.lower()})"
            return Verdict("the reader refused, nothing was written", by)
        raise Accepted("the reader took it")

    def reader_of(self, job: VictimJob, tenant: str, check: Check) -> Verdict:
        """The reader of another tenant, with the ticket in its hands, refuses at this check."""
        config = self.config
        self.config = Config(config.resources.model_copy(update={"tenant": tenant}), config.source)
        try:
            return self.refused(job, check)
        finally:
            self.config = config

    def unfinished(self, job: VictimJob) -> Verdict:
        """The reader says that the job is not finished, and writes no byte."""
        out = io.BytesIO()
        try:
            self.fetch(job, out)
        except JobNotFinished as error:
            assert not out.getvalue()
            return Verdict(f"{error.missing_records} records were named missing, nothing was written", "exact cover")
        raise Accepted("the reader took it")

    def no_effect(self, job: VictimJob, by: str) -> Verdict:
        """The reader gets the honest answers all the same."""
        found = self.fetch(job)
        if found.answers != job.honest or not found.summary.receipts or found.summary.unattested:
            raise Accepted("the answers are not the honest ones")
        return Verdict("the true answers came out", by)

    def unattested(self, job: VictimJob, count: int, now_ms: int | None = None) -> Verdict:
        """The reader marks records as nobody's word but the bridge's, and does not call the job a success."""
        found = self.fetch(job, now_ms=now_ms)
        silent = [line for line in found.lines if not line["attested"]]
        code = exit_for(found.summary)
        if len(silent) != count or code is Exit.OK or any(line["response"] for line in silent):
            raise Accepted("records that nobody answered pass for answered")
        return Verdict(f"{count} records marked attested: false, exit code {code.value}", "attested flag")

    def leaks(self) -> list[str]:
        """Where a canary can be read by the parent: in frames, logs, files, messages of the queue and objects."""
        return self.read_in([*self.said(), *self.queued(), *self.stored()])

    def read_in(self, places: Sequence[tuple[str, bytes]]) -> list[str]:
        """Those of some places in which a canary stands, in any spelling."""
        canary = Canary(self.canaries)
        # All at once first: looking takes as long for many small places as for one large one.
        if not canary.find(b"\0".join(data for _, data in places)):
            return []
        return [where for where, data in places if canary.find(data)]

    def said(self) -> list[tuple[str, bytes]]:
        """Every frame that was carried, and every file that a part of the stack has written."""
        files = [(str(path), path.read_bytes()) for path in self._files()]
        return [*(("a frame", data) for data in self.seen), *files]

    def queued(self) -> list[tuple[str, bytes]]:
        """The messages that wait in the queue, and in that for dead letters; they stay there."""
        sqs, resources = self.client("sqs"), self.config.resources
        found = {}
        for url in (resources.queue_url, resources.dead_letter_url):
            ask = {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 60, "WaitTimeSeconds": 0}
            while batch := sqs.receive_message(**ask).get("Messages", ()):
                found |= {item["MessageId"]: (url, item["ReceiptHandle"], item["Body"].encode()) for item in batch}
            handles = [handle for its, handle, _ in found.values() if its == url]
            for start in range(0, len(handles), 10):
                entries = [
                    {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                    for n, handle in enumerate(handles[start : start + 10])
                ]
                sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)
        return [(f"message {name}", body) for name, (_, _, body) in found.items()]

    def stored(self, prefix: str = "") -> list[tuple[str, bytes]]:
        """Names and bodies of all objects below a prefix."""
        return [
            (f"object {item.key}", item.key.encode() + b"\n" + item.get()["Body"].read())
            for item in self.bucket.objects.filter(Prefix=prefix)
        ]

    def _files(self) -> list[Path]:
        return [path for path in self.stack.folder.rglob("*") if path.is_file() and not path.is_symlink()]
