"""Whole jobs over HTTP, from the ticket to the lines."""

import csv
import io
from pathlib import Path

import pytest
from aws_faults import counted
from folders import names
from job_factory import MODEL, Aws, make_job, parse_lines
from reader_checks import fetched, ids

from results_consumer.errors import Check, IntegrityError, SinkCode, SinkError
from results_consumer.fetch import FetchOptions, FetchProgress, Only, fetch
from results_consumer.output import OutputForm
from results_consumer.sink import FileSink, StreamSink
from results_consumer.tally import FetchSummary
from wire.payload import ErrorCode, Outcome, Result


def test_a_job_comes_out_whole_in_the_order_of_the_input(aws: Aws, tmp_path: Path) -> None:
    """Chunks of several keysets, one line a record, to a file at once and to a stream alike."""
    made = make_job(aws, 3, 1, 40, 2, 5, 6, 7, 8, 9, 10, 11, keysets=3)
    made.answer_all()
    summary, lines = fetched(made)
    assert ids(lines) == [f"case-{n}" for n in range(102)]
    assert summary == FetchSummary(
        job=made.job,
        records=102,
        succeeded=102,
        truncated=0,
        errored=0,
        expired=0,
        canceled=0,
        unattested=0,
        prompt_tokens=1020,
        completion_tokens=408,
        error_codes=(),
        model=f"test-bloom@sha256:{MODEL.hex()}",
        ignored=0,
        written=102,
        receipts=11,
        root=summary.root,
    )
    assert summary.all_succeeded
    assert fetch(aws.s3, aws.kms, aws.settings, made.ticket, FileSink(tmp_path / "out")) == summary
    assert parse_lines((tmp_path / "out").read_bytes()) == lines


@pytest.mark.parametrize("keysets", [1, 3])
def test_kms_is_asked_once_a_keyset(aws: Aws, keysets: int) -> None:
    """However many chunks there are, and though a stream takes two passes."""
    made = make_job(aws, *[2] * 12, keysets=keysets)
    made.answer_all()
    with counted(aws.kms, "Decrypt") as calls:
        fetched(made)
    assert len(calls) == keysets


def test_every_outcome_that_the_enclave_seals_has_its_line(aws: Aws) -> None:
    """The counts add up, tokens of all are summed, and codes are counted."""
    made = make_job(aws, 6)
    results = (
        Result(0, 1, "a", Outcome.SUCCEEDED, "Yes.", "stop", 5, 2),
        Result(1, 2, "b", Outcome.TRUNCATED, "Yes and", "length", 5, 8),
        Result(2, 4, "c", Outcome.ERRORED, error=ErrorCode.CONTEXT_LENGTH_EXCEEDED),
        Result(3, 5, "d", Outcome.ERRORED, error=ErrorCode.CONTEXT_LENGTH_EXCEEDED),
        Result(4, 6, "e", Outcome.EXPIRED),
        Result(5, 9, "f", Outcome.CANCELED),
    )
    made.answer(0, results=results)
    summary, lines = fetched(made)
    assert [line["outcome"] for line in lines] == [result.outcome.value for result in results]
    assert [line["line"] for line in lines] == [1, 2, 4, 5, 6, 9]
    assert all(line["attested"] for line in lines)
    counts = (summary.succeeded, summary.truncated, summary.errored, summary.expired, summary.canceled)
    assert counts == (1, 1, 2, 1, 1)
    assert (summary.prompt_tokens, summary.completion_tokens) == (10, 10)
    assert summary.error_codes == (("context_length_exceeded", 2), ("batch_expired", 1), ("batch_cancelled", 1))
    assert not summary.all_succeeded


@pytest.mark.parametrize(("only", "expected"), [(Only.OK, ["a"]), (Only.TRUNCATED, ["b"]), (Only.FAILED, ["c", "d"])])
def test_a_filter_writes_less_and_counts_all(aws: Aws, only: Only, expected: list[str]) -> None:
    """Lines that are not wanted are verified and counted all the same."""
    made = make_job(aws, 4)
    made.answer(
        0,
        results=(
            Result(0, 1, "a", Outcome.SUCCEEDED, "Yes.", "stop", 5, 2),
            Result(1, 2, "b", Outcome.TRUNCATED, "Yes and", "length", 5, 8),
            Result(2, 3, "c", Outcome.ERRORED, error=ErrorCode.INTERNAL_ERROR),
            Result(3, 4, "d", Outcome.CANCELED),
        ),
    )
    summary, lines = fetched(made, FetchOptions(only=only))
    assert ids(lines) == expected
    assert (summary.records, summary.written) == (4, len(expected))


def test_csv_has_a_head_and_a_row_for_each_record(aws: Aws, tmp_path: Path) -> None:
    """A spreadsheet opens it; the head is there once."""
    made = make_job(aws, 2, 1)
    made.answer_all()
    with (tmp_path / "out.csv").open("wb") as stream:
        fetch(aws.s3, aws.kms, aws.settings, made.ticket, StreamSink(stream), options=FetchOptions(OutputForm.CSV))
    with (tmp_path / "out.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["answer"] for row in rows] == ["Answer 0.", "Answer 1.", "Answer 2."]


def test_progress_is_told_chunk_by_chunk(aws: Aws, tmp_path: Path) -> None:
    """A file takes one pass, a stream a second one for the writing."""
    made = make_job(aws, 2, 3)
    made.answer_all()
    told: list[FetchProgress] = []
    fetch(aws.s3, aws.kms, aws.settings, made.ticket, FileSink(tmp_path / "out"), told=told.append)
    one_pass = [FetchProgress(2, 5, writing=False), FetchProgress(5, 5, writing=False)]
    assert told == one_pass
    assert [state.outcomes["succeeded"] for state in told] == [2, 5]
    fetch(aws.s3, aws.kms, aws.settings, made.ticket, StreamSink(io.BytesIO()), told=told.append)
    assert told[2:] == [*one_pass, FetchProgress(2, 5, writing=True), FetchProgress(5, 5, writing=True)]


def test_what_changes_between_the_passes_is_not_written(aws: Aws) -> None:
    """True answers of another run are still not those that were verified."""
    made = make_job(aws, 2, 2, 2)
    made.answer_all()

    def change(progress: FetchProgress) -> None:
        if progress.done == 6 and not progress.writing:
            made.answer(1)

    out = io.BytesIO()
    with pytest.raises(IntegrityError) as caught:
        fetch(aws.s3, aws.kms, aws.settings, made.ticket, StreamSink(out), told=change)
    assert (caught.value.check, caught.value.where) == (Check.UNCHANGED, made.name(1))
    assert ids(parse_lines(out.getvalue())) == ["case-0", "case-1"]


def test_the_input_file_fills_in_what_is_sealed(aws: Aws) -> None:
    """With the input at hand an unattested line has its custom_id and line."""
    made = make_job(aws, 3)
    made.answer(0, 0, 2)
    made.fail(0, 2, 1)
    pairs = [(1, "case-0"), (2, "case-1"), (7, "case-2")]
    summary, lines = fetched(made, FetchOptions(inputs=lambda: iter(pairs)))
    assert ids(lines) == ["case-0", "case-1", "case-2"]
    assert (lines[2]["line"], lines[2]["attested"], lines[2]["error"]["line"]) == (7, False, 7)
    assert summary.unattested == 1


@pytest.mark.parametrize(
    "pairs", [[(1, "case-0")], [(1, "case-0"), (2, "other")], [(1, "case-0"), (2, "case-1"), (3, "x")]]
)
def test_another_input_file_is_refused(aws: Aws, tmp_path: Path, pairs: list[tuple[int, str]]) -> None:
    """Fewer, more or other lines than the job has: nothing is written."""
    made = make_job(aws, 2)
    made.answer_all()
    options = FetchOptions(inputs=lambda: iter(pairs))
    with pytest.raises(IntegrityError) as caught:
        fetch(aws.s3, aws.kms, aws.settings, made.ticket, FileSink(tmp_path / "out"), options=options)
    assert caught.value.check == Check.INPUT
    assert names(tmp_path) == []


def test_an_existing_output_file_is_refused_before_anything_is_asked(aws: Aws, tmp_path: Path) -> None:
    """Neither S3 nor KMS is called for an output that cannot be written."""
    made = make_job(aws, 1)
    made.answer_all()
    (tmp_path / "out").write_bytes(b"mine")
    with (
        counted(aws.s3, "GetObject") as reads,
        counted(aws.kms, "Decrypt") as calls,
        pytest.raises(SinkError) as caught,
    ):
        fetch(aws.s3, aws.kms, aws.settings, made.ticket, FileSink(tmp_path / "out"))
    assert (caught.value.code, reads, calls) == (SinkCode.EXISTS, [], [])


def test_no_content_or_key_is_in_any_text_of_ours(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """Neither log lines nor the texts of objects that hold keys show them."""
    caplog.set_level("DEBUG", logger="sealbatch")
    made = make_job(aws, 2)
    made.answer_all()
    fetched(made)
    assert "fetched job=" in caplog.text
    assert "Answer" not in caplog.text
    assert "case-" not in caplog.text
