"""Counting by names against a naive model, and whole fetches of jobs in any state."""

import io
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from job_factory import MadeJob, make_job, memory_aws, parse_lines

from results_consumer.bucket import Bucket
from results_consumer.cover import Range
from results_consumer.coverage import measure
from results_consumer.errors import IntegrityError, JobNotFinished
from results_consumer.fetch import fetch
from results_consumer.job import open_job
from results_consumer.sink import StreamSink
from wire import ledger

FOREIGN = b"not sealed by anybody"


@dataclass(frozen=True)
class Put:
    """One object that somebody puts: `first` and `count` are within or around the chunk."""

    kind: str
    chunk: int
    first: int
    count: int


PUTS = st.builds(
    Put,
    st.sampled_from(["true", "beside", "foreign", "failure"]),
    st.integers(0, 3),
    st.integers(0, 12),
    st.integers(1, 6),
)
COUNTS = st.lists(st.integers(1, 5), min_size=1, max_size=3)


def carry_out(made: MadeJob, put: Put) -> None:
    """Put the object, sealed truly if the range can be sealed for that chunk."""
    job, name = made.job, f"{put.chunk:08d}.{put.first}.{put.count}"
    where = ledger.answer_prefix("benefits", job) + name
    if put.kind == "failure":
        made.put(ledger.failure_prefix("benefits", job) + name, ledger.encode_note(ledger.Failure("enclave_lost", 1)))
    elif put.kind == "foreign" or put.chunk >= len(made.entries):
        made.put(where, FOREIGN)
    else:
        sealed = made.seal(put.chunk, put.first, put.count)
        made.put(ledger.alternative(where, sealed) if put.kind == "beside" else where, sealed)


def inside(made: MadeJob, puts: list[Put]) -> list[Put]:
    """The puts whose range lies in their chunk."""
    spans = [Range(entry.first, entry.count) for entry in made.entries]
    return [put for put in puts if put.chunk < len(spans) and spans[put.chunk].holds(Range(put.first, put.count))]


def records_of(puts: list[Put], *, failures: bool) -> set[int]:
    """The records that answers, or failures, are named for."""
    chosen = [put for put in puts if (put.kind == "failure") == failures]
    return {number for put in chosen for number in range(put.first, put.first + put.count)}


@given(COUNTS, st.lists(PUTS, max_size=10), st.lists(st.text(max_size=20), max_size=3))
def test_counts_by_name_are_those_of_sets(counts: list[int], puts: list[Put], junk: list[str]) -> None:
    """Answered, failed, missing and finished chunks agree with sets of record numbers, whatever else lies there."""
    aws = memory_aws()
    made = make_job(aws, *counts)
    for put in puts:
        carry_out(made, put)
    for text in junk:
        made.put(ledger.answer_prefix("benefits", made.job) + "x" + text, b"")
    found = measure(Bucket(aws.s3, "sealed"), open_job(aws.s3, aws.settings, made.ticket))
    useful = inside(made, puts)
    answered, failed = records_of(useful, failures=False), records_of(useful, failures=True)
    silent = set(range(made.records)) - answered - failed
    assert (found.answered, found.failed) == (len(answered), len(failed - answered))
    assert found.missing_records == len(silent)
    assert {number for item in found.missing for number in range(item.first, item.end)} == silent
    spans = [set(range(first, first + count)) for first, count in made.spans]
    assert found.chunks_done == sum(1 for span in spans if not span & silent)


@settings(max_examples=200)
@given(COUNTS, st.lists(PUTS, max_size=12))
def test_a_fetch_gives_every_record_once_or_nothing_at_all(counts: list[int], puts: list[Put]) -> None:
    """Whatever lies in the bucket: a line for each record in order, attested ones being true, or no byte at all."""
    aws = memory_aws()
    made = make_job(aws, *counts)
    for put in puts:
        carry_out(made, put)
    out = io.BytesIO()
    try:
        summary = fetch(aws.s3, aws.kms, aws.settings, made.ticket, StreamSink(out))
    except (IntegrityError, JobNotFinished):
        assert out.getvalue() == b""
        return
    lines = parse_lines(out.getvalue())
    assert summary.records == summary.written == len(lines) == made.records
    for number, line in enumerate(lines):
        assert line["id"].endswith(f"_{number}")
        if line["attested"]:
            assert line["custom_id"] == f"case-{number}"
            assert line["response"]["body"]["choices"][0]["message"]["content"] == f"Answer {number}."
        else:
            assert line["error"]["code"] == "enclave_lost"


@given(COUNTS, st.data())
def test_true_answers_come_out_whatever_foreign_objects_lie_beside(counts: list[int], data: st.DataObject) -> None:
    """A job that is answered truly cannot be hidden by objects at other ranges or at the plain key."""
    aws = memory_aws()
    made = make_job(aws, *counts)
    for entry in made.entries:
        carry_out(made, Put("beside", entry.chunk, entry.first, entry.count))
    spans = st.sampled_from(made.entries)
    for _ in range(data.draw(st.integers(0, 5))):
        entry = data.draw(spans)
        first = data.draw(st.integers(entry.first, entry.first + entry.count - 1))
        count = data.draw(st.integers(1, entry.first + entry.count - first))
        carry_out(made, Put("foreign", entry.chunk, first, count))
    out = io.BytesIO()
    summary = fetch(aws.s3, aws.kms, aws.settings, made.ticket, StreamSink(out))
    assert summary.all_succeeded
    assert len(parse_lines(out.getvalue())) == made.records
