"""An output is verified again from what fetch kept: offline, and every way to bend it is refused by a numbered step."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from folders import names
from job_factory import IMAGE, SALT, TENANT, MadeJob, make_job, memory_aws
from receipt_factory import ROOT, TRUST

from results_consumer.archive import evidence_of
from results_consumer.errors import Check, IntegrityError, SinkCode, SinkError
from results_consumer.fetch import FetchOptions, Only, fetch
from results_consumer.offline import verify_output
from results_consumer.output import OutputForm
from results_consumer.sink import FileSink, StreamSink
from results_consumer.trust import Trust
from wire import keys, ledger
from wire.commitments import question_root
from wire.manifest import Parameters, Retry
from wire.payload import ErrorCode, Message, Outcome, Params, Record, Result
from wire.ticket import Ticket

RECORDS = tuple(
    Record(n, n + 1, f"case-{n}", (Message("user", f"Question {n}?"),), Params(max_tokens=9)) for n in range(5)
)


@dataclass
class Kept:
    """An output with its evidence, and the job that both are of."""

    made: MadeJob
    out: Path
    folder: Path

    def verify(self, **options: Any) -> Any:
        """Verify it as `sealbatch verify` does."""
        with self.out.open("rb") as lines:
            return verify_output(
                lines, self.folder, TRUST, **({"tickets": {self.made.job: self.made.ticket}} | options)
            )

    def refused(self, step: str, where: str = "", **options: Any) -> None:
        """It does not pass, at this step."""
        with pytest.raises(IntegrityError) as caught:
            self.verify(**options)
        assert step in str(caught.value)
        assert where in str(caught.value)

    def lines(self) -> list[dict[str, Any]]:
        """The output's values."""
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def write(self, lines: list[dict[str, Any]]) -> None:
        """Replace the output."""
        self.out.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    def file(self, folder: str, index: int = 0) -> Path:
        """A file of the evidence."""
        return sorted((self.folder / self.made.job / folder).iterdir())[index]


def answered() -> MadeJob:
    """Two chunks, all outcomes, with questions that are the input's."""
    made = make_job(memory_aws(), 3, 2)
    results = (
        Result(0, 1, "case-0", Outcome.SUCCEEDED, "Tage\u2028=1+1\x7f \u202e", "stop", 5, 2),
        Result(1, 2, "case-1", Outcome.TRUNCATED, "Cut", "length", 7, 3),
        Result(2, 3, "case-2", Outcome.ERRORED, "", "", 4000, 0, ErrorCode.CONTEXT_LENGTH_EXCEEDED, "prompt has 4000"),
    )
    made.answer(0, results=results, receipt={"question_root": question_root(SALT, RECORDS[:3])})
    others = (Result(3, 4, "case-3", Outcome.EXPIRED), Result(4, 5, "case-4", Outcome.CANCELED))
    made.answer(1, results=others, receipt={"question_root": question_root(SALT, RECORDS[3:])})
    return made


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A fetched job."""
    made = answered()
    return fetch_into(made, tmp_path)


def fetch_into(made: MadeJob, folder: Path, **options: Any) -> Kept:
    """Fetch to a file with evidence beside it."""
    aws, out = made.aws, folder / "out.jsonl"
    settings = FetchOptions(receipts=folder / "kept", **options)
    fetch(aws.s3, aws.kms, aws.settings, made.ticket, FileSink(out), options=settings)
    return Kept(made, out, folder / "kept")


def test_what_was_fetched_is_verified_years_later_without_a_network(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every outcome, text that needs escapes, lines in another order: no socket is opened, no key is asked for."""
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("the network was used"))
    kept.write(kept.lines()[::-1])
    report = kept.verify(records=lambda: iter(RECORDS), now=datetime(2056, 1, 1, tzinfo=UTC))
    assert (report.records, report.lines, report.attested, report.receipts) == (5, 5, 5, 2)
    assert names(kept.folder) == [kept.made.job]


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(line: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        target: Any = line
        for name in parents:
            target = target[int(name) if name.isdigit() else name]
        target[last] = value

    return change


@pytest.mark.parametrize(
    ("number", "path", "value"),
    [
        (0, "response.body.choices.0.message.content", "Forty days."),
        (0, "response.body.choices.0.finish_reason", "length"),
        (0, "response.body.usage.completion_tokens", 3),
        (0, "response.body.model", "x@sha256:" + "00" * 32),
        (0, "custom_id", "case-1"),
        (0, "line", 2),
        (0, "outcome", "truncated"),
        (0, "receipt", "00" * 32),
        (0, "attested", False),
        (2, "error.code", "invalid_record"),
        (2, "error.message", "something else"),
        (3, "outcome", "canceled"),
        (4, "custom_id", "case-3"),
    ],
)
def test_a_changed_field_of_a_line_is_refused_at_the_results(kept: Kept, number: int, path: str, value: Any) -> None:
    """Whatever a line says about a record was signed, and the record is named."""
    lines = kept.lines()
    _set(path, value)(lines[number])
    kept.write(lines)
    kept.refused("step 20 (results)", f"record {number}")


FORGED = {
    "body": {
        "model": "m@sha256:" + "0" * 64,
        "choices": [{"message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
}


@pytest.mark.parametrize(
    ("number", "path", "value"),
    [
        (0, "error", {"code": "internal_error", "message": "the enclave failed on this record", "retryable": True}),
        (1, "error", {"code": "", "message": ""}),
        (3, "error.code", "batch_cancelled"),
        (3, "error.message", ""),
        (3, "error.retryable", False),
        (4, "error.code", "invalid_record"),
        (3, "response", FORGED),
        (0, "response.body.model", "another"),
        (0, "response.body.usage.total_tokens", 8),
        (0, "response.body.choices.0.message.role", "user"),
        (0, "response.body.choices.0.message.refusal", "No."),
        (0, "response.body.created", 1),
        (0, "response.body.created", None),
        (1, "response.request_id", "another-0"),
        (2, "answer", "Yes."),
        (3, "error.hint", "Ask again."),
    ],
)
def test_what_nobody_signed_is_refused(kept: Kept, number: int, path: str, value: Any) -> None:
    """An error beside an answer or unlike its outcome, a field of nobody's: verify once took it for true."""
    lines = kept.lines()
    _set(path, value)(lines[number])
    kept.write(lines)
    kept.refused("step 20 (results)", f"record {number}")


def test_a_line_that_names_another_chunk_of_its_job_is_refused(kept: Kept) -> None:
    """The receipt says of which one it is; verify once did not look."""
    lines = kept.lines()
    lines[0]["response"]["request_id"] = f"{kept.made.job}-1"
    kept.write(lines)
    kept.refused("step 20 (results)", "record 0, whose chunk is another")


def test_two_answers_exchanged_are_refused_at_the_results(kept: Kept) -> None:
    """Each text is true, and of the other record."""
    lines = kept.lines()
    one, two = (line["response"]["body"]["choices"][0]["message"] for line in lines[:2])
    one["content"], two["content"] = two["content"], one["content"]
    kept.write(lines)
    kept.refused("step 20 (results)", "record 0")


def test_missing_repeated_and_unexpected_lines_are_named(kept: Kept) -> None:
    """Complete is said of exactly one line for each record."""
    lines = kept.lines()
    kept.write([lines[0], *lines[3:]])
    kept.refused("step 22 (complete)", "missing records 1, 2")
    assert kept.verify(partial=True).lines == 3
    kept.write([*lines, lines[1]])
    kept.refused("step 22 (complete)", "record 1, which stands twice")
    kept.write([*lines, {**lines[1], "id": f"batch_req_{kept.made.job}_5"}])
    kept.refused("step 22 (complete)", "record 5, which the job does not have")
    kept.write([*lines, {"id": "something"}])
    kept.refused("step 22 (complete)", "line 6 of the output")
    kept.out.write_text(json.dumps(lines[0]).replace('"content":', '"content": "Forty days.", "content":'))
    kept.refused("step 22 (complete)", "line 1 of the output", partial=True)


TEXTS = ("=1+1", "'=1+1", "-\tten days", 'Ja, "so"\nund so', "Grüße")


def as_csv(folder: Path, texts: Sequence[str] = TEXTS) -> Kept:
    """A job with these answers and an error with a detail, fetched as CSV with its evidence."""
    made = make_job(memory_aws(), len(texts) + 1)
    answers = [Result(n, n + 1, f"case-{n}", Outcome.SUCCEEDED, text, "stop", 5, 2) for n, text in enumerate(texts)]
    number = len(texts)
    code = ErrorCode.CONTEXT_LENGTH_EXCEEDED
    failed = Result(number, number + 1, f"case-{number}", Outcome.ERRORED, "", "", 4000, 0, code, "prompt has 4000")
    made.answer(0, results=(*answers, failed))
    kept = fetch_into(made, folder, form=OutputForm.CSV)
    kept.out.rename(folder / "out.csv")
    return replace(kept, out=folder / "out.csv")


def test_a_csv_is_verified_too(tmp_path: Path) -> None:
    """Cells that a spreadsheet would run are read both ways; what was changed, moved or cut is named."""
    kept = as_csv(tmp_path)
    assert evidence_of(kept.folder) == [kept.made.job]
    report = kept.verify(csv_of=kept.made.job)
    assert (report.lines, report.attested) == (6, 6)
    text = kept.out.read_bytes()
    rows = text.split(b"\r\n")
    for changed, step in (
        (text.replace(b"ten days", b"two days"), "step 20 (results)"),
        (b"\r\n".join([rows[0], rows[2], rows[1], *rows[3:]]), "step 20 (results)"),
        (b"\r\n".join([*rows[:5], b""]), "step 22 (complete)"),
        (text.replace(b"prompt has 4000", b"prompt has 4001"), "step 20 (results)"),
        (text.replace(b"errored,,,0,0", b"errored,,,9,0"), "step 20 (results)"),
        (text.replace(b"stop,5,2,,", b"stop,5,2,internal_error,"), "step 20 (results)"),
        (text.replace(b"stop,5,2,,", b"stop,5,2,,cut short"), "step 20 (results)"),
        (text.replace(b"succeeded", b"guessed"), "step 22 (complete)"),
        (text[:-40], "step 22 (complete)"),
        (b"id" + text, "step 22 (complete)"),
    ):
        assert changed != text
        kept.out.write_bytes(changed)
        kept.refused(step, csv_of=kept.made.job)


def test_a_csv_that_had_to_change_a_text_is_not_proven(tmp_path: Path) -> None:
    """U+FFFD in a control character's place is not what was signed."""
    kept = as_csv(tmp_path, ["a\x07b"])
    kept.refused("step 20 (results)", csv_of=kept.made.job)


def test_a_selection_is_verified_as_such(tmp_path: Path) -> None:
    """`--only` leaves lines out: those that are there are proved, and the rest is said to be missing."""
    kept = fetch_into(answered(), tmp_path, only=Only.OK)
    kept.refused("step 22 (complete)", "missing records 1, 2, 3, 4")
    assert kept.verify(partial=True).lines == 1


def test_other_questions_than_the_inputs_are_refused(kept: Kept) -> None:
    """A changed question, one more and one less."""
    changed = replace(RECORDS[4], messages=(Message("user", "Another question?"),))
    kept.refused("step 21 (input)", "records 3 to 4", records=lambda: iter((*RECORDS[:4], changed)))
    kept.refused("step 21 (input)", "which the input does not have", records=lambda: iter(RECORDS[:4]))
    kept.refused("step 21 (input)", "which the job does not have", records=lambda: iter((*RECORDS, RECORDS[0])))


def _swap(kept: Kept, folder: str) -> None:
    one, two = kept.file(folder, 0), kept.file(folder, 1)
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)


def _change_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _say_silent(kept: Kept, text: str) -> None:
    (kept.folder / kept.made.job / "silent.json").write_text(text)


def _change_sealed(kept: Kept) -> None:
    path = kept.file("answers")
    data = bytearray(path.read_bytes())
    data[2000] ^= 1  # in the ciphertext
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("bend", "step"),
    [
        (lambda kept: kept.file("receipts").unlink(), "step 1 (present)"),
        (lambda kept: kept.file("receipts").write_bytes(b"\x80"), "step 3 (form)"),
        (lambda kept: _change_last_byte(kept.file("receipts")), "step 12 (signature)"),
        (lambda kept: _swap(kept, "receipts"), "step 16 (place)"),
        (_change_sealed, "step 18 (answers)"),
        (lambda kept: _swap(kept, "answers"), "step 18 (answers)"),
        (lambda kept: kept.file("openings").unlink(), "step 20 (results)"),
        (lambda kept: kept.file("openings").write_text('{"salt": "00", "results": []}'), "step 20 (results)"),
        (lambda kept: _swap(kept, "openings"), "step 20 (results)"),
        (lambda kept: kept.file("openings").write_text("[" * 100_000), "step 20 (results)"),
        (lambda kept: kept.file("answers").unlink(), "step 22 (complete)"),
        (lambda kept: _say_silent(kept, "[" * 100_000), "step 22 (complete)"),
        (lambda kept: _say_silent(kept, '[{"first": 0.5, "count": 2, "outcome": "canceled"}]'), "step 22 (complete)"),
        (lambda kept: _say_silent(kept, '[{"first": 0, "count": NaN, "outcome": "canceled"}]'), "step 22 (complete)"),
        (lambda kept: kept.file("answers").rename(kept.file("answers").with_name("other")), "check 11 "),
        (lambda kept: (kept.folder / kept.made.job / "manifest").unlink(), "check 1 "),
        (lambda kept: _change_last_byte(kept.folder / kept.made.job / "manifest"), "check 2 "),
        (lambda kept: kept.file("pages").unlink(), "check 5 "),
        (lambda kept: _change_last_byte(kept.file("pages")), "check 8 "),
    ],
)
def test_bent_evidence_is_refused_by_its_step(kept: Kept, bend: Callable[[Kept], None], step: str) -> None:
    """Whoever keeps the folder for somebody else cannot change a byte that counts."""
    bend(kept)
    kept.refused(step)


def test_the_manifest_of_another_job_is_not_the_tickets(kept: Kept) -> None:
    """All of another job's evidence under this job's name, consistent in itself."""
    other = answered()
    folder = kept.folder.parent / "other"
    folder.mkdir()
    fetched = fetch_into(other, folder)
    shutil.rmtree(kept.folder / kept.made.job)
    shutil.copytree(fetched.folder / other.job, kept.folder / kept.made.job)
    kept.refused("check 2 ")


def test_amazons_root_is_the_default(kept: Kept) -> None:
    """A development root is believed only by who asks for it."""
    with kept.out.open("rb") as lines, pytest.raises(IntegrityError, match=r"step 7 \(chain\)"):
        verify_output(lines, kept.folder, Trust(), tickets={})


def test_records_in_the_bridges_word_are_counted_and_not_attested(tmp_path: Path) -> None:
    """Nothing proves them; nothing may turn them into answers either."""
    made = make_job(memory_aws(), 2, 1)
    made.answer(0)
    made.fail(1, 2, 1)
    kept = fetch_into(made, tmp_path)
    report = kept.verify()
    assert (report.lines, report.attested) == (3, 2)
    lines = kept.lines()
    said = dict(lines[2])
    for forged in ({"attested": True, "custom_id": "case-2", "line": 3}, {"response": lines[0]["response"]}):
        lines[2] = said | forged
        kept.write(lines)
        kept.refused("step 20 (results)", "record 2")


def test_evidence_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A job that fails a check leaves nothing behind; a folder that is there is replaced only on request."""
    made = answered()
    good = made.get(made.name(1))
    made.put(made.name(1), b"foreign")
    with pytest.raises(IntegrityError) as caught:
        fetch_into(made, tmp_path)
    assert caught.value.check == Check.OBJECT_FORM
    assert names(tmp_path) in ([], ["kept"])
    assert names(tmp_path / "kept") == []
    made.put(made.name(1), good)
    fetch_into(made, tmp_path)
    (tmp_path / "out.jsonl").unlink()
    with pytest.raises(SinkError) as exists:
        fetch_into(made, tmp_path)
    assert exists.value.code is SinkCode.EXISTS
    assert fetch_into(made, tmp_path, replace_receipts=True).verify().lines == 5


def test_a_stream_leaves_the_same_evidence(tmp_path: Path) -> None:
    """Two passes are made over the objects, and the evidence is of the first."""
    import io

    made, out = answered(), io.BytesIO()
    aws = made.aws
    options = FetchOptions(receipts=tmp_path / "kept")
    fetch(aws.s3, aws.kms, aws.settings, made.ticket, StreamSink(out), options=options)
    (tmp_path / "out.jsonl").write_bytes(out.getvalue())
    assert Kept(made, tmp_path / "out.jsonl", tmp_path / "kept").verify().attested == 5


def test_an_unknown_jobs_lines_have_no_evidence(kept: Kept) -> None:
    """Lines of a job that the folder does not hold."""
    lines = kept.lines()
    other = Ticket("a" * 16, bytes(16)).job
    kept.write([{**line, "id": line["id"].replace(kept.made.job, other)} for line in lines])
    kept.refused("check 1 ", "manifest")


def retried(tmp_path: Path, *outcomes: Result, input_records: tuple[Record, ...] = RECORDS[:3]) -> tuple[Kept, MadeJob]:
    """A job of three records of which 1 and 2 failed, and a retry of those two with these results, fetched together."""
    first = make_job(memory_aws(), 3)
    failed = tuple(Result(n, n + 1, f"case-{n}", Outcome.ERRORED, error=ErrorCode.INTERNAL_ERROR) for n in (1, 2))
    good = Result(0, 1, "case-0", Outcome.SUCCEEDED, "Yes.", "stop", 5, 2)
    first.answer(0, results=(good, *failed), receipt={"question_root": question_root(SALT, input_records)})
    again = make_job(first.aws, 2, parameters=Parameters(retry=Retry(first.ticket.job, first.ticket.digest, ((1, 2),))))
    asked = tuple(replace(record, number=number) for number, record in enumerate(RECORDS[1:3]))
    again.answer(0, results=outcomes, receipt={"question_root": question_root(SALT, asked)})
    mac = keys.retry_mac(first.answer_keys[0], first.job, str(again.ticket))
    first.put(ledger.retry_key(TENANT, first.job, str(again.ticket), mac), b"")
    return fetch_into(first, tmp_path), again


AGAIN = (
    Result(0, 2, "case-1", Outcome.SUCCEEDED, "At last.", "stop", 5, 2),
    Result(1, 3, "case-2", Outcome.ERRORED, error=ErrorCode.INTERNAL_ERROR),
)


def test_answers_that_a_retry_gave_are_verified_with_its_evidence(tmp_path: Path) -> None:
    """The first job's fetch keeps the evidence of both, and the questions of both are the input's."""
    kept, again = retried(tmp_path, *AGAIN)
    report = kept.verify(records=lambda: iter(RECORDS[:3]))
    assert (report.jobs, report.records, report.attested, report.receipts) == ((kept.made.job,), 3, 3, 2)
    assert names(kept.folder) == sorted([kept.made.job, again.job])
    changed = (*RECORDS[:1], replace(RECORDS[1], messages=(Message("user", "Another?"),)), RECORDS[2])
    kept.refused("step 21 (input)", records=lambda: iter(changed))


def independently(kept: Kept) -> str:
    """The last line of the verifier that shares no code with ours."""
    root, verifier = kept.out.with_name("root.pem"), Path(__file__).resolve().parents[1] / "independent_verifier.py"
    root.write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    words = [str(kept.out), str(kept.folder / kept.made.job), str(root), IMAGE]
    done = subprocess.run([sys.executable, str(verifier), *words], capture_output=True, check=False, timeout=60)
    return (done.stdout + done.stderr).decode().splitlines()[-1]


def test_a_verifier_of_its_own_agrees_on_every_outcome_and_on_retries(tmp_path: Path) -> None:
    """Answered, errored, expired and canceled; a retry's answer in a failure's place; and each of them bent."""
    kept = fetch_into(answered(), tmp_path)
    assert independently(kept) == "verified"
    kept.write(kept.lines()[:4])
    assert "records are missing" in independently(kept)
    (tmp_path / "again").mkdir()
    kept, _ = retried(tmp_path / "again", *AGAIN)
    assert independently(kept) == "verified"
    lines = kept.lines()
    lines[1]["response"]["body"]["choices"][0]["message"]["content"] = "Never."
    kept.write(lines)
    assert "answers were changed" in independently(kept)
    kept.write([lines[0], {**lines[1], "receipt": None}, lines[2]])
    assert "answers without a receipt" in independently(kept)


def test_a_retrys_answer_is_not_taken_for_another_record_or_left_out(tmp_path: Path) -> None:
    """Its text changed, moved to the other record, or put back to the failure of before."""
    kept, again = retried(tmp_path, *AGAIN)
    lines = kept.lines()
    old = json.loads(json.dumps(lines[2])) | {"id": lines[1]["id"], "custom_id": "case-1", "line": 2}
    kept.write([lines[0], old, lines[2]])
    kept.refused("step 20 (results)", "record 1")
    bent = json.loads(json.dumps(lines))
    bent[1]["response"]["body"]["choices"][0]["message"]["content"] = "Never."
    kept.write(bent)
    kept.refused("step 20 (results)", "record 1")
    kept.write(lines)
    shutil.rmtree(kept.folder / again.job)
    kept.refused("check 1 ")


def test_another_job_is_not_taken_for_a_retry(tmp_path: Path) -> None:
    """The evidence names a job whose manifest repeats nothing of this one."""
    kept, _ = retried(tmp_path, *AGAIN)
    (tmp_path / "other").mkdir()
    other = fetch_into(answered(), tmp_path / "other")
    shutil.copytree(other.folder / other.made.job, kept.folder / other.made.job)
    (kept.folder / kept.made.job / "retries.json").write_text(json.dumps([other.made.job]))
    kept.refused("check 2 ", "no retry of this job")
    (kept.folder / kept.made.job / "retries.json").write_text('["../x"]')
    kept.refused("step 22 (complete)", "retries.json")
