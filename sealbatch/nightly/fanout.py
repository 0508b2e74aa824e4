"""A large file, sealed and sent by many workers: each range is a task that can be repeated.

The worker with the whole file in hand only plans, and looks whether all ranges are done with a phase:

1. Plan: one pass over the file gives its digest and its ranges, each on line boundaries and with its own digest.
2. Check: each range is validated and counted. A problem in one of them, or a custom_id that stands in two, refuses the
   file; nothing was sealed yet.
3. Seal: each range is sealed, under a keyset of its process, into a file of sealed bytes, and uploaded from there.
4. Commit: the manifest over all ranges, signed under a keyset of its own, is written down, then put into the bucket,
   and the idempotency key made to mean it. From here on the job exists.
5. Send: each range sends its messages.
"""

from dataclasses import dataclass

from producer.ranges import plan_ranges
from sealbatch.nightly.context import Context
from sealbatch.nightly.faults import NightError, range_fails
from sealbatch.nightly.inbox import Input
from sealbatch.nightly.range_join import RangeJoin
from sealbatch.nightly.range_records import CHECK, SEAL, SEND, RangeRecords, span_record
from sealbatch.nightly.range_work import RangeWork
from sealbatch.nightly.records import Attempts, ItemRecords
from sealbatch.nightly.shelf import Record
from sealbatch.nightly.todo import RANGE, STEP, Todo
from wire.ticket import new_job_id


@dataclass(frozen=True, slots=True)
class Stage:
    """What the ranges are doing: the phase, how many are done with it, and what is to be handed out.

    `worst` are the attempts of the range that failed most often in a row.
    """

    phase: str
    done: int
    total: int
    todos: list[Todo]
    worst: Attempts

    @property
    def doing(self) -> str:
        """The phase in words."""
        return {CHECK: "checking ranges", SEAL: "sealing ranges", SEND: "sending ranges"}[self.phase]


class FanOut:
    """One large file of a run."""

    def __init__(self, context: Context, records: ItemRecords) -> None:
        self._context = context
        self._records = records

    @staticmethod
    def wanted(context: Context, source: Input) -> bool:
        """Whether a file is sealed in ranges: it is large, and its lines stand for themselves, as those of CSV do not.

        With invalid lines skipped, a line's fate depends on all lines before it, so one worker reads them all.
        """
        parameters = context.schedule.parameters
        if parameters.skip_invalid or source.size <= context.settings.range_size:
            return False
        with source.open() as file:
            return not parameters.form(source.name).is_csv(file.readline(1 << 16))

    def plan(self, source: Input) -> Record:
        """The file's claim, with its ranges and the job that they make."""
        with source.open() as file:
            digest, ranges = plan_ranges(file, source.size, self._context.settings.range_size)
        spans = [span_record(span) for span in ranges]
        claim = self._context.dated(name=source.name, digest=digest, size=source.size, ranges=spans, job=new_job_id())
        return self._records.put_new("claim", claim)

    def advance(self, claim: Record) -> Stage | None:
        """Go on as far as it goes; None once the job exists and all is sent, or the file is refused.

        Raises:
            NightError: trying a range again cannot help.
            ServiceError: AWS does not answer.
            OSError: records or sealed bytes cannot be read or written.
        """
        ranges = RangeRecords(self._records, claim)
        join = RangeJoin(self._context, self._records, ranges, str(claim["digest"]))
        for phase in (CHECK, SEAL, SEND):
            stage = self._stage(ranges, phase)
            if stage.done < stage.total:
                return stage
            if phase == CHECK and join.refused():
                return None
            if phase == SEAL and not join.commit():
                return None
        join.finish()
        return None

    def work(self, number: int) -> list[Todo]:
        """Do what a range needs next; a failure is for the caller to write down with `failed`."""
        claim = self._records.get("claim")
        if claim is None or self._records.get("refused") is not None or self._records.get("ticket") is not None:
            return []
        ranges = RangeRecords(self._records, claim)
        records = ranges.of(number)
        before = records.attempts()
        if not before.due(self._context.now()) or before.starts >= self._context.settings.max_attempts:
            return []
        records.put_attempts(before.begun())
        RangeWork(self._context, self._records, ranges, number).do_next()
        records.put_attempts(Attempts(total=before.total))
        reached = next((phase for phase in (SEND, SEAL, CHECK) if records.get(phase) is not None), CHECK)
        return [Todo(STEP, self._place)] if ranges.all_have(reached) else []

    def failed(self, number: int, code: str) -> None:
        """Write down that a range's work failed; it is due again later."""
        claim = self._records.get("claim")
        if claim is None:
            return
        records = RangeRecords(self._records, claim).of(number)
        records.put_attempts(records.attempts().failed(code, self._context.now()))

    def _stage(self, ranges: RangeRecords, phase: str) -> Stage:
        todos, waiting = [], []
        for number in range(ranges.total):
            records = ranges.of(number)
            if records.get(phase) is not None:
                continue
            attempts = records.attempts()
            self._refuse_hopeless(attempts)
            waiting.append(attempts)
            if attempts.due(self._context.now()):
                todos.append(Todo(RANGE, (*self._place, number)))
        worst = max(waiting, key=lambda attempts: attempts.failures, default=Attempts())
        return Stage(phase, ranges.total - len(waiting), ranges.total, todos, worst)

    def _refuse_hopeless(self, attempts: Attempts) -> None:
        most = self._context.settings.max_attempts
        if attempts.starts >= most:
            raise NightError(range_fails("poisoned"))
        if attempts.code == "file_changed" or (attempts.code == "bug" and attempts.failures >= most):
            raise NightError(range_fails(attempts.code))

    @property
    def _place(self) -> tuple[str, str, str]:
        return self._context.schedule.name, self._records.run, self._records.item
