"""A parent under our control: it does what the bridge does, and what root on the host could do instead."""

import hashlib
import io
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from hostile_parent import HostileParent

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
from sealbatch.clients import bridge_clients, producer_clients, reader_kms, reader_s3
from sealbatch.config import load_config
from wire import ledger
from wire.address import Address
from wire.envelope import QuestionHeader, parse_questions
from wire.messages import Work
from wire.payload import Params
from wire.ticket import Ticket

MAX_TOKENS = 3


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
        self.config = load_config(stack.config, ())
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

    def submit(self, records: int = 4, chunk: int = 2, *, questions: Sequence[str] | None = None) -> VictimJob:
        """Submit a job of the victim's."""
        canary = f"kestrel{secrets.token_hex(8)}"
        self.canaries.append(canary)
        asked = questions or [f"How many days of leave, {canary} {n}?" for n in range(records)]
        lines = [json.dumps({"custom_id": f"{canary}-{n}", "question": text}) for n, text in enumerate(asked)]
        done = submit(
            io.BytesIO("\n".join(lines).encode() + b"\n"),
            InputForm(name="questions.jsonl"),
            Params(max_tokens=MAX_TOKENS),
            SubmitOptions(limits=ChunkLimits(records=chunk)),
            self.settings,
            self.producer,
        )
        assert done.ticket is not None
        return VictimJob(self, done.ticket, canary)

    def answered(self, records: int = 4, chunk: int = 2, **options: Any) -> VictimJob:
        """Submit a job and have it answered truly; its honest answers are remembered."""
        job = self.submit(records, chunk, **options)
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

    def parent(self) -> HostileParent:
        """A connection to the enclave; all that it hears is remembered."""
        return HostileParent(self.address, self.bridge.kms, self.seen)

    def fetch(self, job: VictimJob, out: io.BytesIO | None = None) -> Fetched:
        """What the victim's reader does."""
        out = out or io.BytesIO()
        s3, kms = reader_s3(self.config), reader_kms(self.config)
        summary = fetch(s3, kms, self.config.reader(), job.ticket, StreamSink(out))
        return Fetched(summary, [json.loads(line) for line in out.getvalue().splitlines()])

    # Verdicts

    def refused(self, job: VictimJob, check: Check, detail: str = "") -> Verdict:
        """The reader refuses at this check and writes no byte."""
        out = io.BytesIO()
        try:
            self.fetch(job, out)
        except IntegrityError as error:
            if error.check is not check or detail not in str(error) or out.getvalue():
                raise Accepted(f"refused by {error}, {len(out.getvalue())} bytes were written") from None
            step = str(error).partition("receipt step ")[2].partition(":")[0]
            by = f"receipt step {step}" if step else f"check {check.value} ({check.name.lower()})"
            return Verdict("the reader refused the job, nothing was written", by)
        raise Accepted("the reader took it")

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
        return Verdict("the true answers came out all the same", by)

    def unattested(self, job: VictimJob, count: int) -> Verdict:
        """The reader marks records as nobody's word but the bridge's, and does not call the job a success."""
        found = self.fetch(job)
        silent = [line for line in found.lines if not line["attested"]]
        if len(silent) != count or found.summary.all_succeeded or any(line["response"] for line in silent):
            raise Accepted("records that nobody answered pass for answered")
        return Verdict(f"{count} records marked attested: false, exit code not 0", "attested flag")

    def leaks(self) -> list[str]:
        """Where a canary can be read by the parent: in what the enclave said, in the bucket, in logs and files."""
        marks = [canary.encode() for canary in self.canaries]
        places = [("a frame", data) for data in self.seen]
        places += [(f"object {item.key}", item.get()["Body"].read()) for item in self.bucket.objects.all()]
        places += [(str(path), path.read_bytes()) for path in self._files()]
        return [where for where, data in places if any(mark in data for mark in marks)]

    def _files(self) -> list[Path]:
        return [path for path in self.stack.folder.rglob("*") if path.is_file() and not path.is_symlink()]
