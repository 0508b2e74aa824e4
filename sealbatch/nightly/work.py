"""One step on one file: whatever of these is missing, in order, and each of them may be done again.

1. Claim: count the file's bytes and digest, once.
2. Submit under the key (schedule, run, digest), or have its ranges sealed by many, or write down why it is refused.
3. Wait until every record has an outcome; now and then send again what no message can bring any more.
4. Deliver the answers to the target.
5. Move the file to `done/` or `failed/`, with its report beside it.
"""

import contextlib
import hashlib
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from producer.errors import InputInvalid
from producer.hashed_source import HashedSource
from producer.submission import Phase, SubmitOptions, SubmitProgress
from producer.submit import submit
from results_consumer.status import JobState, job_status
from sealbatch.nightly.context import Context
from sealbatch.nightly.delivery import deliver
from sealbatch.nightly.fanout import FanOut
from sealbatch.nightly.faults import FILE_CHANGES, Fault, NightError, fault_of, stalled
from sealbatch.nightly.finish import finish
from sealbatch.nightly.inbox import Input
from sealbatch.nightly.records import Attempts, ItemRecords
from sealbatch.nightly.refusal import problems, refusal
from sealbatch.nightly.shelf import Record
from sealbatch.nightly.todo import Todo
from sealbatch.sweeper import Sweeper
from wire.manifest import Parameters
from wire.ticket import Ticket

CHUNKS_A_SECOND: Final = 100
"""A job is looked at less often the larger it is: a look is a LIST for every 1000 of its objects."""
SWEEP_EVERY: Final = timedelta(minutes=10)
"""Between two looks for what was lost: each costs a LIST for every 1000 objects, and losing a message is rare."""

_log = logging.getLogger("sealbatch.nightly")


@dataclass(frozen=True, slots=True)
class After:
    """What follows a step: what others are to do, when to look again, and how its ranges fail, if they do."""

    todos: list[Todo] = field(default_factory=list)
    pause: timedelta | None = None
    worst: Attempts = Attempts()  # noqa: RUF009 - frozen


class ItemWork:
    """The work on one file of a run."""

    def __init__(self, context: Context, run: str, item: str) -> None:
        self._context = context
        self._records = ItemRecords(context.shelf, run, item)
        self._run = run
        self._item = item

    def step(self) -> list[Todo]:
        """Do what can be done now; what others are to do meanwhile.

        No failure gets out: it is written down, and the file is due again later. A step that takes its worker with
        it, again and again, sets the file aside.
        """
        if self._records.get("finished") is not None:
            return []
        before = self._records.attempts()
        if not before.due(self._context.now()):
            return []
        if before.starts >= self._context.settings.max_attempts:
            self._give_up(
                Fault("poisoned", f"{before.starts} workers ended while they worked on this file", final=True)
            )
            return []
        self._records.put_attempts(before.begun())
        try:
            after = self._advance()
        except Exception as error:  # noqa: BLE001 - each failure is this file's alone
            self._failed(before, fault_of(error))
            return []
        next_at = self._context.later(after.pause) if after.pause else ""
        self._records.put_attempts(Attempts(0, after.worst.failures, before.total, after.worst.code, next_at))
        return after.todos

    def _advance(self) -> "After":
        claim = self._claim()
        if claim is None:
            return After()
        if self._records.get("refused") is None and self._records.get("ticket") is None:
            if "ranges" in claim:
                stage = FanOut(self._context, self._records).advance(claim)
                if stage is not None:
                    self._context.show(self._run, self._item, stage.doing, stage.done, stage.total)
                    return After(stage.todos, worst=stage.worst)
            else:
                self._submit(claim)
        ticket = self._records.get("ticket")
        if ticket is not None and self._records.get("delivered") is None:
            pause = self._waits(ticket)
            if pause is not None:
                return After(pause=pause)
            deliver(self._context, self._records, claim, ticket, self._file())
        finish(self._context, self._records, claim)
        return After()

    def _claim(self) -> Record | None:
        """The file's digest and size; None if there is no file, because whoever took it did not get it."""
        claim = self._records.get("claim")
        if claim is not None:
            return claim
        found = self._context.inbox.find(self._run, self._item)
        if found is None:
            return None
        if FanOut.wanted(self._context, found):
            return FanOut(self._context, self._records).plan(found)
        with found.open() as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        return self._records.put_new("claim", self._context.dated(name=found.name, digest=digest, size=size))

    def _submit(self, claim: Record) -> None:
        parameters = self._context.schedule.parameters
        options = SubmitOptions(
            limits=parameters.limits(),
            parameters=Parameters(name=self._context.schedule.name, deadline_ms=self._context.deadline_ms(self._run)),
            skip_invalid=parameters.skip_invalid,
            idempotency=self._context.key(self._run, str(claim["digest"])),
        )
        settings, clients = self._context.aws.producer_settings, self._context.aws.producer
        form = parameters.form(str(claim["name"]))
        with self._file().open() as file:
            source = HashedSource(file)

            def progress(state: SubmitProgress) -> None:
                if state.phase is Phase.UPLOAD:
                    # All is read by now. An exception here takes back what was put: no job comes of it.
                    self._refuse_changed(source, claim)
                self._context.show(self._run, self._item, "sealing", state.done, state.total or 0)

            try:
                made = submit(source, form, parameters.params(), options, settings, clients, progress)
            except InputInvalid as error:
                self._refuse_changed(source, claim)
                refused = refusal(error.report.problem_count, problems(error.report.problems))
                self._records.put_new("refused", self._context.dated(**refused))
                return
        record = {"ticket": str(made.ticket), "job": made.job, "records": made.records, "chunks": made.chunks}
        self._records.put_new("ticket", self._context.dated(**record))
        _log.info("submitted schedule=%s run=%s job=%s", self._context.schedule.name, self._run, made.job)

    def _refuse_changed(self, source: HashedSource, claim: Record) -> None:
        if source.digest() != claim["digest"]:
            self._context.shelf.remove(self._records.name("claim"))
            raise NightError(FILE_CHANGES)

    def _file(self) -> Input:
        return self._context.input(self._run, self._item)

    def _waits(self, record: Record) -> timedelta | None:
        """How long to wait before the next look, or None if every record has an outcome."""
        ticket = Ticket.parse(str(record["ticket"]))
        aws = self._context.aws
        status = job_status(aws.reader_s3, aws.reader_settings, ticket, now_ms=self._context.machine_now_ms())
        self._context.show(self._run, self._item, "answering", status.answered + status.failed_unattested, status.total)
        if status.state is JobState.COMPLETED:
            return None
        if status.state is JobState.STALLED and status.notice is not None:
            raise NightError(stalled(status.notice.code))
        self._sweep(record, ticket)
        return max(self._context.settings.tick, timedelta(seconds=status.chunks // CHUNKS_A_SECOND))

    def _sweep(self, record: Record, ticket: Ticket) -> None:
        """Send again what lies sealed in the bucket, has no outcome, and no message that could still exist."""
        last = self._records.get("swept") or record
        if self._context.now() - datetime.fromisoformat(str(last["at"])) < SWEEP_EVERY:
            return
        aws = self._context.aws
        sweeper = Sweeper(aws.reader_s3, aws.reader_settings, aws.producer, aws.producer_settings)
        swept = sweeper.sweep(ticket, now_ms=self._context.machine_now_ms())
        self._context.shelf.put(self._records.name("swept"), self._context.dated(sent=swept.sent))
        if swept.sent:
            _log.warning(
                "sent again schedule=%s job=%s chunks=%d: they had no answer, and no message that could bring one",
                self._context.schedule.name,
                swept.job,
                swept.sent,
            )

    def _failed(self, before: Attempts, fault: Fault) -> None:
        _log.warning(
            "step failed schedule=%s run=%s item=%s code=%s: %s; %s",
            self._context.schedule.name,
            self._run,
            self._item,
            fault.code,
            fault.text,
            "the file is set aside in failed/" if fault.final else "tried again later",
        )
        after = before.failed(fault.code, self._context.now())
        if fault.final or (fault.code == "bug" and after.failures >= self._context.settings.max_attempts):
            self._give_up(fault)
            return
        with contextlib.suppress(OSError):
            self._records.put_attempts(after)

    def _give_up(self, fault: Fault) -> None:
        """Set the file aside; if even that fails, the file is due again."""
        with contextlib.suppress(OSError):
            self._records.put_new("refused", self._context.dated(code=fault.code, text=fault.text))
            claim = self._records.get("claim") or self._context.dated(name=self._file().name, digest="", size=0)
            finish(self._context, self._records, claim)
