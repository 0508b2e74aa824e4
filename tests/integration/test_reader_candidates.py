"""What of all that lies in the bucket becomes a line."""

import io
from pathlib import Path

import pytest
from aws_faults import counted
from folders import names
from job_factory import CREATED_MS, Aws, make_job
from reader_checks import fetched, ids

from results_consumer import coverage
from results_consumer.cover import Range
from results_consumer.errors import Check, IntegrityError, JobNotFinished
from results_consumer.fetch import fetch
from results_consumer.sink import FileSink, StreamSink
from wire import ledger
from wire.manifest import Parameters


def test_ranges_that_meet_exactly_make_a_chunk(aws: Aws) -> None:
    """A chunk that was answered in parts comes out in order, and the whole wins over parts."""
    made = make_job(aws, 6, 4)
    for first, count in ((3, 1), (0, 3), (4, 2)):
        made.answer(0, first, count)
    made.answer(1, 6, 2)
    made.answer(1)
    with counted(aws.s3, "GetObject") as reads:
        _, lines = fetched(made)
    assert ids(lines) == [f"case-{n}" for n in range(10)]
    assert not [url for url in reads if url.endswith(".6.2")]


def test_ranges_that_overlap_are_refused(aws: Aws) -> None:
    """Nobody honest answers a record in two ranges of which neither holds the other."""
    made = make_job(aws, 6)
    made.answer(0, 0, 4)
    made.answer(0, 2, 4)
    with pytest.raises(IntegrityError) as caught:
        fetched(made)
    assert caught.value.check == Check.EXACT_COVER


def test_ranges_with_a_gap_are_an_unfinished_job(aws: Aws) -> None:
    """The missing records are named, no KMS call is made and no byte is written."""
    made = make_job(aws, 6, 2, 3, 3)
    made.answer(0, 0, 2)
    made.answer(0, 4, 2)
    made.answer(3)
    out = io.BytesIO()
    with counted(aws.kms, "Decrypt") as calls, pytest.raises(JobNotFinished) as caught:
        fetch(aws.s3, aws.kms, aws.settings, made.ticket, StreamSink(out))
    assert caught.value.missing == (Range(2, 2), Range(6, 5))
    assert (caught.value.missing_records, caught.value.records) == (7, 14)
    assert (out.getvalue(), calls) == (b"", [])


def test_an_answer_that_is_taken_away_while_fetching_is_missing(aws: Aws, tmp_path: Path) -> None:
    """It was listed at first; the second look finds it gone, and nothing is written."""
    made = make_job(aws, 2, 2)
    made.answer_all()

    def take(**_: object) -> None:
        made.remove(made.name(1))

    aws.kms.meta.events.register("after-call.kms.Decrypt", take)
    try:
        with pytest.raises(JobNotFinished) as caught:
            fetch(aws.s3, aws.kms, aws.settings, made.ticket, FileSink(tmp_path / "out"))
    finally:
        aws.kms.meta.events.unregister("after-call.kms.Decrypt", take)
    assert caught.value.missing == (Range(2, 2),)
    assert names(tmp_path) == []


def test_a_foreign_object_at_the_key_does_not_hide_the_true_answer_beside_it(aws: Aws) -> None:
    """The bridge puts the true one at the alternative name; the foreign one is counted and no more."""
    made = make_job(aws, 2, 2)
    made.answer(1)
    foreign = make_job(aws, 2)
    made.put(made.name(0), foreign.seal(0))
    sealed = made.seal(0)
    made.put(ledger.alternative(made.name(0), b"another"), b"and one more that sorts among them")
    made.put(ledger.alternative(made.name(0), sealed), sealed)
    summary, lines = fetched(made)
    assert ids(lines) == [f"case-{n}" for n in range(4)]
    assert summary.all_succeeded
    assert 1 <= summary.ignored <= 2


def test_with_the_true_answer_at_its_key_no_other_candidate_is_read(aws: Aws) -> None:
    """What lies beside costs nothing."""
    made = make_job(aws, 2)
    made.answer(0)
    made.put(ledger.alternative(made.name(0), b"x"), b"x")
    with counted(aws.s3, "GetObject") as reads:
        summary, _ = fetched(made)
    assert not [url for url in reads if "~" in url]
    assert summary.ignored == 0


def test_what_the_bridge_alone_says_is_unattested(aws: Aws) -> None:
    """Records without an answer get the bridge's code, no custom_id, and are never a success."""
    made = make_job(aws, 6)
    made.answer(0, 0, 2)
    made.answer(0, 5, 1)
    made.fail(0, 0, 4, "decrypt_failed")
    made.fail(0, 4, 1, "canceled")
    summary, lines = fetched(made)
    assert [line["attested"] for line in lines] == [True, True, False, False, False, True]
    assert ids(lines) == ["case-0", "case-1", None, None, None, "case-5"]
    assert [line["outcome"] for line in lines[2:5]] == ["errored", "errored", "canceled"]
    assert lines[2]["error"]["code"] == "decrypt_failed"
    assert (summary.errored, summary.canceled, summary.unattested, summary.succeeded) == (2, 1, 3, 3)
    assert not summary.all_succeeded


def test_a_failure_that_is_none_explains_nothing(aws: Aws) -> None:
    """By its name the records have an outcome, by its body they have none: the job is unfinished."""
    made = make_job(aws, 2)
    made.put(ledger.failure_key("benefits", made.job, 0, 0, 2), b'{"code":"succeeded","at_ms":1}')
    with pytest.raises(JobNotFinished) as caught:
        fetched(made)
    assert caught.value.missing == (Range(0, 2),)


def test_after_the_deadline_silent_records_are_expired(aws: Aws) -> None:
    """The manifest's deadline and our own clock say so; before it the job is unfinished."""
    made = make_job(aws, 2, 1, parameters=Parameters(deadline_ms=CREATED_MS + 1000))
    made.answer(0)
    with pytest.raises(JobNotFinished):
        fetched(made, now_ms=CREATED_MS + 999)
    summary, lines = fetched(made, now_ms=CREATED_MS + 1000)
    assert [line["outcome"] for line in lines] == ["succeeded", "succeeded", "expired"]
    assert (lines[2]["attested"], summary.expired, summary.unattested) == (False, 1, 1)


def test_of_absurdly_many_objects_of_a_chunk_some_are_looked_at(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An attacker who fills the bucket costs us no memory; plain keys come first, so that the true answer is found."""
    monkeypatch.setattr(coverage, "MAX_NAMES", 3)
    made = make_job(aws, 2, 1)
    made.answer_all()
    for number in range(5):
        made.put(f"{made.name(0)}~{number:016x}", b"x")
    assert fetched(made)[0].all_succeeded
    assert "too many objects chunk=0" in caplog.text


def test_only_the_first_missing_ranges_are_kept_and_all_are_counted(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A huge job that has just begun gives no huge error; ranges that touch are one."""
    monkeypatch.setattr(coverage, "MAX_RANGES_TOLD", 2)
    made = make_job(aws, *[1] * 9)
    for chunk in (2, 5, 7):
        made.answer(chunk)
    with pytest.raises(JobNotFinished) as caught:
        fetched(made)
    assert caught.value.missing == (Range(0, 2), Range(3, 2))
    assert caught.value.missing_records == 6
