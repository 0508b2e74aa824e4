"""One schedule's world in simulated time: inbox and target on disk; S3, KMS, SQS and an enclave in memory.

Sealing and opening are real, and so is every file. Time stands until a test moves it.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from memory_aws import ACCOUNT, MemoryKms, MemoryS3
from receipt_factory import TRUST, make_receipt

from aws_errors.service_error import ServiceError
from producer.clients import Clients
from producer.settings import ProducerSettings
from results_consumer.errors import ReaderError
from results_consumer.settings import ReaderSettings
from sealbatch.nightly.context import Aws, Context
from sealbatch.nightly.inbox import FolderInbox, Inbox
from sealbatch.nightly.night import Night
from sealbatch.nightly.schedule import NightlySettings, Schedule
from sealbatch.nightly.shelf import Shelf
from sealbatch.nightly.todo import CLOSE, RANGE, STEP, Todo
from wire import envelope, ledger, payload
from wire.header import AnswerHeader
from wire.manifest import decode_manifest

IMAGE = "0123456789abcdef" * 6
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class StartOfTime:
    """Stands for the module `time` where jobs are dated: a job of a simulated night is not of a day after it."""

    @staticmethod
    def time_ns() -> int:
        """The moment at which simulated time starts."""
        return int(START.timestamp()) * 10**9


QUESTION = "How many days of leave does the canary have?"
ANSWER = "The canary has 21 days of leave."


@dataclass
class Dial:
    """A clock that a test turns; the machine's, which dates jobs and receipts, may be `ahead` of it."""

    moment: datetime = START
    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        """Where it stands."""
        return self.moment

    def to_machine(self, moment: datetime) -> datetime:
        """The machine's time."""
        return moment + self.ahead

    def move(self, **by: float) -> None:
        """Turn it."""
        self.moment += timedelta(**by)


class Died(BaseException):
    """A worker is killed here: nothing of it is done any more, and nothing catches this."""


@dataclass
class Fuse:
    """Kills the worker before or after the call that it burns down at."""

    left: int = -1
    after: bool = False

    def burn(self, call: Callable[[], Any]) -> Any:
        """Do a call, or die before it, or right after it."""
        if self.left == 0:
            raise Died  # a dead worker does not clean up
        if self.left > 0:
            self.left -= 1
            if self.left == 0:
                if self.after:
                    call()
                raise Died
        return call()


@dataclass
class Outage:
    """What AWS refuses at present, with which code; without names of calls it refuses all."""

    code: str = ""
    calls: tuple[str, ...] = ()

    def stop(self, call: str) -> None:
        """Refuse a call, or not."""
        if self.code and (not self.calls or call in self.calls):
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, call)  # type: ignore[arg-type]


class FusedShelf(Shelf):
    """Records whose every change may be the last."""

    def __init__(self, root: Path, fuse: Fuse) -> None:
        super().__init__(root)
        self._fuse = fuse

    def put_new(self, name: str, record: Any) -> bool:
        """Write once."""
        return bool(self._fuse.burn(lambda: Shelf.put_new(self, name, record)))

    def put(self, name: str, record: Any) -> None:
        """Write."""
        self._fuse.burn(lambda: Shelf.put(self, name, record))

    def remove(self, name: str) -> None:
        """Remove."""
        self._fuse.burn(lambda: Shelf.remove(self, name))


class FusedInbox(FolderInbox):
    """An inbox whose every change may be the last."""

    fuse: Fuse

    def take(self, name: str, run: str) -> tuple[str, str] | None:
        """Take a file."""
        taken: tuple[str, str] | None = self.fuse.burn(lambda: FolderInbox.take(self, name, run))
        return taken

    def finish(self, run: str, item: str, name: str, report: tuple[str, str], *, done: bool) -> None:
        """Move a file."""
        self.fuse.burn(lambda: FolderInbox.finish(self, run, item, name, report, done=done))


@dataclass
class DatedS3(MemoryS3):
    """The memory's S3 with conditional puts, deletes and dates, and outages."""

    clock: Dial = field(default_factory=Dial)
    dates: dict[str, datetime] = field(default_factory=dict)
    outage: Outage = field(default_factory=Outage)
    fuse: Fuse = field(default_factory=Fuse)

    def put_object(self, **request: Any) -> Any:
        """Write an object, unless it is there and must not be."""
        self.outage.stop("PutObject")
        return self.fuse.burn(lambda: self._put(request))

    def get_object(self, **request: Any) -> Any:
        """Read an object."""
        self.outage.stop("GetObject")
        return super().get_object(**request)

    def delete_objects(self, **request: Any) -> Any:
        """Remove objects."""
        return self.fuse.burn(lambda: self._delete(request))

    def store(self, key: str, body: bytes) -> None:
        """Write an object as the bridge does, whatever is broken on our side."""
        self.objects[key] = body
        self.dates[key] = self.clock.now()

    def _put(self, request: Any) -> Any:
        if request.get("IfNoneMatch") == "*" and request["Key"] in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": "there"}}, "PutObject")
        self.store(request["Key"], request["Body"])
        return {}

    def _delete(self, request: Any) -> Any:
        for item in request["Delete"]["Objects"]:
            self.objects.pop(item["Key"], None)
        return {}

    def list_objects_v2(self, **request: Any) -> Any:
        """Names with dates."""
        self.outage.stop("ListObjectsV2")
        page = super().list_objects_v2(**request)
        for item in page.get("Contents", ()):
            item["LastModified"] = self.dates[item["Key"]]
        return page


@dataclass
class MemorySqs:
    """A queue that takes everything, but for outages."""

    bodies: list[str] = field(default_factory=list)
    outage: Outage = field(default_factory=Outage)
    fuse: Fuse = field(default_factory=Fuse)

    def send_message_batch(self, **request: Any) -> Any:
        """Take messages."""
        self.outage.stop("SendMessageBatch")
        self.fuse.burn(lambda: self.bodies.extend(entry["MessageBody"] for entry in request["Entries"]))
        return {}

    def get_queue_attributes(self, **_: Any) -> Any:
        """How many messages there are."""
        self.outage.stop("GetQueueAttributes")
        depth = str(len(self.bodies))
        return {"Attributes": {"ApproximateNumberOfMessages": depth, "MessageRetentionPeriod": "345600"}}


@dataclass
class DeadlyKms(MemoryKms):
    """KMS, and a file that takes its worker with it whenever it is sealed."""

    deadly: bool = False
    outage: Outage = field(default_factory=Outage)

    def generate_data_key(self, **request: Any) -> Any:
        """A key, or death."""
        self.outage.stop("GenerateDataKey")
        if self.deadly:
            raise Died
        return super().generate_data_key(**request)

    def decrypt(self, **request: Any) -> Any:
        """The key that was wrapped."""
        self.outage.stop("Decrypt")
        return super().decrypt(**request)


@dataclass
class World:
    """Everything around one schedule."""

    folder: Path
    tell: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    settings: NightlySettings = field(default_factory=NightlySettings)
    clock: Dial = field(default_factory=Dial)
    kms: DeadlyKms = field(default_factory=DeadlyKms)
    fuse: Fuse = field(default_factory=Fuse)
    outage: Outage = field(default_factory=Outage)
    deaths: int = 0
    unburnt: int = -1
    """What was left of the fuse when the last worker ended, dead or not."""
    failures: int = 0
    outcomes: dict[str, str] = field(default_factory=dict)
    sns: Any = None

    def __post_init__(self) -> None:
        self.s3 = DatedS3(clock=self.clock, fuse=self.fuse, outage=self.outage)
        self.sqs = MemorySqs(fuse=self.fuse, outage=self.outage)
        self.kms.outage = self.outage
        self.inbox.mkdir(parents=True)
        values = {
            "name": "benefits",
            "cron": "0 2 * * *",
            "time_zone": "America/New_York",
            "inbox": str(self.inbox),
            "answers": str(self.answers),
            "tell": self.tell,
            **self.options,
        }
        self.schedule = Schedule.model_validate(values)
        self.arns = ACCOUNT + "a", ACCOUNT + "b"

    @property
    def inbox(self) -> Path:
        """Where files are dropped."""
        return self.folder / "inbox"

    @property
    def answers(self) -> Path:
        """The target."""
        return self.folder / "answers"

    def night(self) -> Night:
        """A worker's view, made anew as each process makes its own."""
        return Night(self.context())

    def context(self) -> Context:
        """What it works with."""
        tenant = "benefits"
        return Context(
            schedule=self.schedule,
            settings=self.settings,
            inbox=self.make_inbox(),
            shelf=FusedShelf(self.schedule.own, self.fuse),
            aws=Aws(
                producer=Clients(self.kms, self.s3, self.sqs),
                producer_settings=ProducerSettings(tenant, "sealed", "http://queue", *self.arns, IMAGE),
                reader_s3=self.s3,
                reader_kms=self.kms,
                reader_settings=ReaderSettings(tenant, "sealed", *self.arns, TRUST),
                sns=self.sns,
            ),
            clock=self.clock,
            secret=b"s" * 32,
        )

    def make_inbox(self) -> Inbox:
        """The schedule's inbox."""
        inbox = FusedInbox(self.inbox, self.schedule.name)
        inbox.fuse = self.fuse
        return inbox

    def drop(self, name: str, ids: list[str] | None = None, *, text: str | None = None, age: float = 3600) -> Path:
        """Drop a file whose last change is `age` seconds ago."""
        path = self.inbox / name
        lines = [json.dumps({"custom_id": one, "question": QUESTION}) for one in ids or [f"{name}-1", f"{name}-2"]]
        path.write_text("\n".join(lines) + "\n" if text is None else text)
        self.touch(path, age)
        return path

    def touch(self, path: Path, age: float = 0) -> None:
        """Date a file by the world's clock."""
        moment = self.clock.now().timestamp() - age
        os.utime(path, (moment, moment))

    def do(self, todos: list[Todo]) -> list[Todo]:
        """What a worker does with each; what follows from it."""
        after: list[Todo] = []
        for todo in todos:
            night = self.night()
            if todo.task == STEP:
                run, item = str(todo.arguments[1]), str(todo.arguments[2])
                found = self.make_inbox().find(run, item)
                self.kms.deadly = found is not None and found.name.startswith("killer")
                after += self.survive(lambda run=run, item=item, night=night: night.step(run, item)) or []  # type: ignore[misc]
            elif todo.task == RANGE:
                place = str(todo.arguments[1]), str(todo.arguments[2]), int(todo.arguments[3])
                after += self.survive(lambda place=place, night=night: night.range(*place)) or []  # type: ignore[misc]
            elif todo.task == CLOSE:
                self.survive(lambda todo=todo, night=night: night.close(str(todo.arguments[1])))  # type: ignore[misc]
        return after

    def survive(self, work: Callable[[], Any]) -> Any:
        """Do it in a worker that may die; the next worker lives."""
        try:
            return work()
        except Died:
            self.deaths += 1
        except (OSError, ReaderError, ServiceError):
            self.failures += 1
        finally:
            self.unburnt, self.fuse.left = self.fuse.left, -1
        return None

    def tick(self) -> None:
        """One tick, all the work that it finds, and what follows from that."""
        todos = self.survive(lambda: self.night().tick()) or []
        while todos:
            todos = self.do(todos)

    def pass_time(self, hours: float, *, every: float = 10) -> None:
        """Let time go by with a tick and an enclave's work `every` minutes."""
        end = self.clock.now() + timedelta(hours=hours)
        while self.clock.now() < end:
            self.tick()
            self.answer()
            self.clock.move(minutes=every)

    def jobs(self) -> set[str]:
        """The jobs whose manifest exists."""
        return {key.split("/")[1] for key in self.s3.objects if key.endswith("/manifest")}

    def sent_jobs(self) -> set[str]:
        """The jobs of which a message was ever sent."""
        return {ledger.parse_chunk_message(body).job for body in self.sqs.bodies}

    def answer(self) -> None:
        """Answer whatever is in the queue, a message that came twice too."""
        for body in self.sqs.bodies:
            self._answer(ledger.parse_chunk_message(body))

    def delivered(self) -> dict[str, list[str]]:
        """The custom_ids in each answers file."""
        return {
            str(path.relative_to(self.answers)): [
                json.loads(line)["custom_id"] for line in path.read_text().splitlines()
            ]
            for path in sorted(self.answers.rglob("*.answers.jsonl"))
        }

    def inputs(self, folder: str) -> list[str]:
        """Names of inputs in `done` or `failed`."""
        found = (self.inbox / folder).rglob("*")
        return sorted(path.name for path in found if path.is_file() and not path.name.endswith(".report.json"))

    def _answer(self, message: ledger.ChunkMessage) -> None:
        place = (message.tenant, message.job, message.chunk, message.first, message.count)
        name = ledger.answer_key(*place)
        if name in self.s3.objects:
            return
        body = self.s3.objects[ledger.question_key(message.tenant, message.job, message.chunk)]
        sealed = envelope.parse_questions(body)
        question_key = self.kms.wrapped[sealed.header.wrapped][2]
        asked = payload.QuestionPayload.decode(sealed.open(question_key))
        results = tuple(self._result(record) for record in asked.records)
        made = payload.AnswerPayload("test-bloom", asked.salt, results)
        header = AnswerHeader(
            tenant=message.tenant,
            job=message.job,
            image=IMAGE,
            chunk=message.chunk,
            first=message.first,
            count=message.count,
            key_arn=asked.answer_key_arn,
            wrapped_digest=asked.answer_wrapped_digest,
            question_digest=hashlib.sha256(body).digest(),
            model=bytes(32),
            template=bytes(32),
        )
        answers = envelope.seal(header, asked.answer_key, made.encode())
        manifest = decode_manifest(self.s3.objects[ledger.manifest_key(message.tenant, message.job)])
        started = datetime.fromtimestamp(manifest.created_ms // 1000, UTC)
        receipt = make_receipt(answers, asked.salt, results, started=started)
        self.s3.store(name, envelope.attach_receipt(answers, asked.answer_key, receipt))

    def _result(self, record: payload.Record) -> payload.Result:
        place = (record.number, record.line, record.custom_id)
        if record.problem is not None:
            return payload.Result(*place, payload.Outcome.ERRORED, error=record.problem)
        if self.outcomes.get(record.custom_id) == "errored":
            return payload.Result(*place, payload.Outcome.ERRORED, error=payload.ErrorCode.CONTEXT_LENGTH_EXCEEDED)
        return payload.Result(*place, payload.Outcome.SUCCEEDED, ANSWER, "stop", 10, 4)
