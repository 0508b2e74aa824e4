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

import base64
import hashlib
import hmac
import secrets
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from producer.forms import InputForm
from producer.keyset import Keyset, generate_keyset
from producer.lookup import Lookup
from producer.publish import put_manifest, put_pages
from producer.published import open_published
from producer.ranges import (
    Place,
    Range,
    RangeCheck,
    Reading,
    SealedChunk,
    check_range,
    find_duplicate,
    plan_ranges,
    read_chunk,
    seal_range,
    upload_range,
)
from producer.send import Sender
from producer.store import JobStore
from sealbatch.nightly.context import Context
from sealbatch.nightly.faults import FileChangedError, FileGoneError, RangeFailsError
from sealbatch.nightly.records import Attempts, ItemRecords, pause_after
from sealbatch.nightly.shelf import Record
from sealbatch.nightly.todo import RANGE, STEP, Todo
from wire import manifest
from wire.ledger import ChunkMessage
from wire.manifest import ChunkEntry, Parameters
from wire.ticket import Ticket, new_job_id

CHECK: Final = "checked"
SEAL: Final = "uploaded"
SEND: Final = "sent"
MOST_PROBLEMS: Final = 20

_keysets: dict[str, Keyset] = {}
"""This process's keyset of the job that it works on: one process, one keyset, and no more than one in memory."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the ranges are doing: the phase, how many are done with it, and what is to be handed out."""

    phase: str
    done: int
    total: int
    todos: list[Todo]


class FanOut:
    """One large file of a run."""

    def __init__(self, context: Context, records: ItemRecords) -> None:
        self._context = context
        self._records = records
        self._settings = context.aws.producer_settings
        self._store = JobStore(context.aws.producer.s3, self._settings.bucket)

    @staticmethod
    def wanted(context: Context, path: Path) -> bool:
        """Whether a file is sealed in ranges: it is large, and its lines stand for themselves, as those of CSV do not.

        With invalid lines skipped, a line's fate depends on all lines before it, so one worker reads them all.
        """
        parameters = context.schedule.parameters
        if parameters.skip_invalid or path.stat().st_size <= context.settings.range_size:
            return False
        with path.open("rb") as file:
            return not parameters.form(path.name).is_csv(file.readline(1 << 16))

    def plan(self, path: Path) -> Record:
        """The file's claim, with its ranges and the job that they make."""
        size = path.stat().st_size
        with path.open("rb") as file:
            digest, ranges = plan_ranges(file, size, self._context.settings.range_size)
        spans = [asdict(span) for span in ranges]
        claim = self._context.dated(name=path.name, digest=digest, size=size, ranges=spans, job=new_job_id())
        return self._records.put_new("claim", claim)

    def advance(self, claim: Record) -> Stage | None:
        """Go on as far as it goes; None once the job exists and all is sent, or the file is refused.

        Raises:
            RangeFailsError: a range does not get on.
            ServiceError: AWS does not answer.
            OSError: records or sealed bytes cannot be read or written.
        """
        for phase in (CHECK, SEAL, SEND):
            stage = self._stage(claim, phase)
            if stage.done < stage.total:
                return stage
            if phase == CHECK and self._refused(claim):
                return None
            if phase == SEAL and not self._commit(claim):
                return None
        self._finish(claim)
        return None

    def work(self, number: int) -> list[Todo]:
        """Do what a range needs next; a failure is written down with the range."""
        claim, records = self._records.get("claim"), self._range(number)
        if claim is None or self._records.get("refused") is not None or self._records.get("ticket") is not None:
            return []
        before = records.attempts()
        if not before.due(self._context.now()) or before.starts >= self._context.settings.max_attempts:
            return []
        records.put_attempts(Attempts(before.starts + 1, before.failures, before.total, before.code, before.next_at))
        self._work(claim, number, records)
        records.put_attempts(Attempts(total=before.total))
        return [] if self._any_missing(claim, records) else [self._records_todo()]

    def failed(self, number: int, code: str) -> None:
        """Write down that a range's work failed; it is due again later."""
        records = self._range(number)
        before = records.attempts()
        pause = self._context.later(pause_after(before.failures))
        records.put_attempts(Attempts(0, before.failures + 1, before.total + 1, code, pause))

    def _work(self, claim: Record, number: int, records: ItemRecords) -> None:
        if records.get(CHECK) is None:
            self._check(claim, number, records)
        elif self._all(claim, CHECK) and records.get(SEAL) is None:
            self._seal(claim, number, records)
        elif self._records.get("manifest") is not None and records.get(SEND) is None:
            self._send(claim, records)

    def _check(self, claim: Record, number: int, records: ItemRecords) -> None:
        span = Range(**claim["ranges"][number])
        with self._file().open("rb") as file:
            found = check_range(file, span, self._reading(), self._mark_key(claim))
        _refuse_changed(found.digest, span)
        marks = {"marks": _text(found.marks.tobytes()), "lines": _text(found.lines.tobytes())}
        records.put_new("marks", marks)
        records.put_new(CHECK, self._context.dated(**_check_record(found)))

    def _seal(self, claim: Record, number: int, records: ItemRecords) -> None:
        sealed = records.get("sealed") or self._seal_once(claim, number, records)
        chunks = [_chunk(values) for values in sealed["chunks"]]
        upload_range(self._bytes(sealed), chunks, self._store, self._settings.tenant, str(claim["job"]))
        records.put_new(SEAL, self._context.dated(chunks=len(chunks)))

    def _seal_once(self, claim: Record, number: int, records: ItemRecords) -> Record:
        """Seal into a file that nobody knows, then make it the range's, unless somebody was faster."""
        span, job = Range(**claim["ranges"][number]), str(claim["job"])
        keyset = self._keyset(job)
        name = f"{number}-{secrets.token_hex(8)}"
        path = self._context.inbox.sealed(self._records.run, self._records.item, name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with self._file().open("rb") as file, path.open("xb") as out:
            place = self._place(claim, number)
            chunks, digest = seal_range(
                file, span, self._reading(), out, place=place, keyset=keyset, settings=self._settings
            )
        _refuse_changed(digest, span)
        values = [
            [chunk.number, chunk.offset, chunk.size, chunk.first, chunk.count, chunk.digest.hex()] for chunk in chunks
        ]
        public = keyset.public
        keys = [_text(public.question_wrapped), _text(public.answer_wrapped)]
        record = self._context.dated(file=name, chunks=values, keys=keys)
        winner = records.put_new("sealed", record)
        if winner["file"] != name:
            path.unlink()
        return winner

    def _send(self, claim: Record, records: ItemRecords) -> None:
        sealed = records.get("sealed")
        if sealed is None:
            raise FileGoneError
        tenant, job = self._settings.tenant, str(claim["job"])
        with self._bytes(sealed).open("rb") as file:
            messages = (
                ChunkMessage(
                    tenant,
                    job,
                    chunk.number,
                    chunk.first,
                    chunk.count,
                    chunk.digest,
                    chunk.size,
                    read_chunk(file, chunk),
                )
                for chunk in map(_chunk, sealed["chunks"])
            )
            Sender(self._context.aws.producer.sqs, self._settings.queue_url).send_all(messages, lambda _: None)
        records.put_new(SEND, self._context.dated())

    def _refused(self, claim: Record) -> bool:
        """Whether the ranges together are refused, which is written down."""
        if self._records.get("refused") is not None:
            return True
        if self._records.get("counted") is not None:
            return False
        checks = list(self._records_of(claim, CHECK))
        problems = [problem for check in checks for problem in check["problems"]]
        count = sum(check["problem_count"] for check in checks)
        if not count and not sum(check["records"] for check in checks):
            problems, count = [_problem(1, "empty_file", None, "there is no question in it")], 1
        if not count and (twice := find_duplicate(map(_marks, self._records_of(claim, "marks")))) is not None:
            text = f"the custom_id of line {twice[0]} stands here again"
            problems, count = [_problem(twice[1], "duplicate_custom_id", "custom_id", text)], 1
        if count:
            refusal = {"code": "input_invalid", "problem_count": count, "problems": problems[:MOST_PROBLEMS]}
            self._records.put_new("refused", self._context.dated(**refusal))
            return True
        self._records.put_new("counted", self._context.dated(records=sum(check["records"] for check in checks)))
        return False

    def _commit(self, claim: Record) -> bool:
        """Make the job visible: one manifest, whoever of us writes it down first; False if the key has another job."""
        tenant, job = self._settings.tenant, str(claim["job"])
        record = self._records.get("manifest")
        if record is None:
            record = self._records.put_new("manifest", {"data": _text(self._make_manifest(claim))})
        ticket = put_manifest(self._store, tenant, job, base64.b64decode(record["data"]))
        lookup = self._lookup(claim)
        if lookup.claim(ticket):
            return True
        if (winner := lookup.find()) is None:
            return False
        self._keep(winner, open_published(self._store, tenant, winner).manifest)
        return False

    def _make_manifest(self, claim: Record) -> bytes:
        """Put the pages, which are the same whoever makes them; a manifest over them that only we can make."""
        job = str(claim["job"])
        index: dict[str, int] = {}
        others: list[manifest.Keyset] = []
        # A keyset for the signature alone: were it one of a range's, the pages would depend on who signs.
        signer = generate_keyset(self._context.aws.producer.kms, self._settings, job)
        sealed = list(self._records_of(claim, "sealed"))
        for record in sealed:
            question, answer = record["keys"]
            if question not in index:
                index[question] = len(others) + 1
                wrapped = base64.b64decode(question), base64.b64decode(answer)
                others.append(replace(signer.public, question_wrapped=wrapped[0], answer_wrapped=wrapped[1]))
        entries = (
            ChunkEntry(chunk.number, chunk.first, chunk.count, index[record["keys"][0]], chunk.digest)
            for record in sealed
            for chunk in map(_chunk, record["chunks"])
        )
        deadline = self._context.deadline_ms(self._records.run)
        return put_pages(
            store=self._store,
            tenant=self._settings.tenant,
            job=job,
            entries=entries,
            keyset=signer,
            others=others,
            parameters=Parameters(name=self._context.schedule.name, deadline_ms=deadline),
        )

    def _finish(self, claim: Record) -> None:
        """All is sent."""
        record = self._records.get("manifest")
        if record is None:
            raise FileGoneError
        data = base64.b64decode(record["data"])
        self._lookup(claim).mark_sent()
        self._keep(Ticket(str(claim["job"]), manifest.manifest_digest(data)), manifest.decode_manifest(data))

    def _keep(self, ticket: Ticket, made: manifest.Manifest) -> None:
        fields = {"ticket": str(ticket), "job": ticket.job, "records": made.records, "chunks": made.chunks}
        self._records.put_new("ticket", self._context.dated(**fields))
        self._context.inbox.forget_sealed(self._records.run, self._records.item)

    def _lookup(self, claim: Record) -> Lookup:
        key = self._context.key(self._records.run, str(claim["digest"]))
        return Lookup(self._store, self._settings.tenant, key)

    def _stage(self, claim: Record, phase: str) -> Stage:
        todos, done = [], 0
        for number in range(len(claim["ranges"])):
            records = self._range(number)
            if records.get(phase) is not None:
                done += 1
                continue
            attempts = records.attempts()
            if attempts.starts >= self._context.settings.max_attempts:
                raise RangeFailsError("poisoned", final=True)
            if attempts.code == "file_changed":
                raise RangeFailsError(attempts.code, final=True)
            if attempts.failures >= self._context.settings.max_attempts:
                raise RangeFailsError(attempts.code)
            if attempts.due(self._context.now()):
                todos.append(Todo(RANGE, (self._context.schedule.name, self._records.run, self._records.item, number)))
        return Stage(phase, done, len(claim["ranges"]), todos)

    def _any_missing(self, claim: Record, records: ItemRecords) -> bool:
        """Whether another range still lacks what this one got last."""
        phase = next((phase for phase in (SEND, SEAL, CHECK) if records.get(phase) is not None), CHECK)
        return not self._all(claim, phase)

    def _records_todo(self) -> Todo:
        return Todo(STEP, (self._context.schedule.name, self._records.run, self._records.item))

    def _all(self, claim: Record, phase: str) -> bool:
        return all(self._range(number).get(phase) is not None for number in range(len(claim["ranges"])))

    def _records_of(self, claim: Record, name: str) -> Iterator[Record]:
        for number in range(len(claim["ranges"])):
            record = self._range(number).get(name)
            if record is None:
                raise FileGoneError
            yield record

    def _place(self, claim: Record, number: int) -> Place:
        checks = list(self._records_of(claim, CHECK))
        firsts = [0, *accumulate(check["records"] for check in checks)]
        chunks = [0, *accumulate(check["chunks"] for check in checks)]
        return Place(str(claim["job"]), firsts[number], chunks[number])

    def _keyset(self, job: str) -> Keyset:
        if job not in _keysets:
            keyset = generate_keyset(self._context.aws.producer.kms, self._settings, job)
            _keysets.clear()
            _keysets[job] = keyset
        return _keysets[job]

    def _reading(self) -> Reading:
        parameters = self._context.schedule.parameters
        return Reading(InputForm("jsonl"), parameters.params(), parameters.limits())

    def _mark_key(self, claim: Record) -> bytes:
        return hmac.new(self._context.secret, f"custom_ids {claim['job']}".encode(), hashlib.sha256).digest()

    def _range(self, number: int) -> ItemRecords:
        return ItemRecords(self._records.shelf, self._records.run, f"{self._records.item}/ranges/{number}")

    def _file(self) -> Path:
        path = self._context.inbox.find(self._records.run, self._records.item)
        if path is None:
            raise FileGoneError
        return path

    def _bytes(self, sealed: Record) -> Path:
        return self._context.inbox.sealed(self._records.run, self._records.item, str(sealed["file"]))


def _refuse_changed(digest: str, span: Range) -> None:
    if digest != span.digest:
        raise FileChangedError


def _check_record(found: RangeCheck) -> dict[str, Any]:
    report = found.report
    problems = [_problem(p.line, str(p.code), p.param, p.message) for p in report.problems]
    return {
        "records": found.records,
        "chunks": found.chunks,
        "problem_count": report.problem_count,
        "problems": problems,
    }


def _problem(line: int, code: str, param: str | None, message: str) -> dict[str, Any]:
    return {"line": line, "code": code, "param": param, "message": message}


def _marks(check: Record) -> "tuple[array[int], array[int]]":
    marks, lines = array("Q"), array("Q")
    marks.frombytes(base64.b64decode(check["marks"]))
    lines.frombytes(base64.b64decode(check["lines"]))
    return marks, lines


def _chunk(values: list[Any]) -> SealedChunk:
    number, offset, size, first, count, digest = values
    return SealedChunk(number, offset, size, first, count, bytes.fromhex(digest))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
