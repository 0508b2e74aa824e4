"""How far a job is, by listing alone."""

from typing import Any

import pytest
from aws_faults import counted
from job_factory import CREATED_MS, IMAGE, Aws, make_job

from results_consumer.errors import Check, IntegrityError
from results_consumer.job import open_job
from results_consumer.status import NOTICE_LIFE_MS, JobState, JobStatus, job_status, status_of
from wire import ledger
from wire.ledger import Notice
from wire.manifest import Parameters

NOW = CREATED_MS + 60_000


def test_a_job_goes_from_queued_to_completed(aws: Aws) -> None:
    """Counts follow what lies in the bucket: whole chunks, ranges and failures."""
    made = make_job(aws, 4, 4, 2, parameters=Parameters(name="nightly"))
    expected = JobStatus(
        job=made.job,
        name="nightly",
        created_ms=CREATED_MS,
        state=JobState.QUEUED,
        total=10,
        answered=0,
        failed_unattested=0,
        chunks=3,
        chunks_answered=0,
        notice=None,
    )
    assert job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW) == expected

    made.answer(0)
    made.answer(1, 4, 1)
    status = job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW)
    assert (status.state, status.answered, status.chunks_answered) == (JobState.IN_PROGRESS, 5, 1)

    made.answer(2)
    made.fail(1, 4, 4)
    status = job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW)
    assert (status.state, status.answered, status.failed_unattested) == (JobState.COMPLETED, 7, 3)
    assert status.chunks_answered == 3


def test_no_candidate_counts_twice(aws: Aws) -> None:
    """An alternative beside the plain key and ranges inside others add nothing."""
    made = make_job(aws, 4)
    made.answer(0, 0, 3)
    made.answer(0, 1, 2)
    made.put(ledger.alternative(made.name(0, 0, 3), b"x"), b"x")
    status = job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW)
    assert (status.answered, status.state) == (3, JobState.IN_PROGRESS)


def test_a_fresh_notice_of_an_unfinished_job_is_told(aws: Aws) -> None:
    """The job is stalled, and the notice says why, for image and key."""
    made = make_job(aws, 2)
    made.notice("key_denied", NOW - NOTICE_LIFE_MS)
    status = job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW)
    assert status.state == JobState.STALLED
    assert status.notice == Notice("key_denied", IMAGE, aws.settings.question_key, NOW - NOTICE_LIFE_MS)


@pytest.mark.parametrize("at_ms", [NOW - NOTICE_LIFE_MS - 1, NOW + NOTICE_LIFE_MS + 1])
def test_a_stale_notice_is_history(aws: Aws, at_ms: int) -> None:
    """The bridge renews it while the reason stands; a time far ahead is no better."""
    made = make_job(aws, 2)
    made.notice("key_denied", at_ms)
    status = job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW)
    assert (status.state, status.notice) == (JobState.QUEUED, None)


def test_a_notice_that_is_none_is_nothing(aws: Aws) -> None:
    """Foreign bytes at its key change no state."""
    made = make_job(aws, 2)
    made.put(ledger.notice_key("benefits", made.job), b"<script>")
    assert job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW).notice is None


def test_a_finished_job_is_completed_whatever_a_notice_says(aws: Aws) -> None:
    """A notice may be left from before."""
    made = make_job(aws, 2)
    made.answer_all()
    made.notice("kms_unavailable", NOW)
    assert job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW).state == JobState.COMPLETED


def test_a_job_past_its_deadline_is_completed(aws: Aws) -> None:
    """What has no answer then has an outcome all the same."""
    made = make_job(aws, 2, parameters=Parameters(deadline_ms=NOW))
    assert job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW - 1).state == JobState.QUEUED
    assert job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW).state == JobState.COMPLETED


def test_the_clock_is_asked_if_no_time_is_given(aws: Aws) -> None:
    """A deadline in 1970 has passed by any clock."""
    made = make_job(aws, 2, parameters=Parameters(deadline_ms=1))
    assert job_status(aws.s3, aws.settings, made.ticket).state == JobState.COMPLETED


def test_status_makes_no_kms_call_and_reads_no_answer(aws: Aws) -> None:
    """Manifest, page and notice are read; the rest is two lists; asking again skips the first two."""
    made = make_job(aws, *[1] * 20)
    made.answer_all()
    with counted(aws.kms, "Decrypt") as calls, counted(aws.s3, "GetObject") as reads:
        with counted(aws.s3, "ListObjectsV2") as lists:
            job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW)
        assert (len(calls), len(reads), len(lists)) == (0, 3, 2)
        status_of(aws.s3, aws.settings, open_job(aws.s3, aws.settings, made.ticket), now_ms=NOW)
    assert len(reads) == 6


def test_more_answers_than_a_list_holds_take_another_list(aws: Aws) -> None:
    """11 objects where S3 gives ten at a time (and otherwise a thousand): two pages of answers and one of failures."""
    made = make_job(aws, *[1] * 11)
    for entry in made.entries:
        made.put(made.name(entry.chunk), b"x")
    event, events = "provide-client-params.s3.ListObjectsV2", aws.s3.meta.events
    events.register(event, _ten_at_a_time)
    try:
        with counted(aws.s3, "ListObjectsV2") as lists:
            status = job_status(aws.s3, aws.settings, made.ticket, now_ms=NOW)
    finally:
        events.unregister(event, _ten_at_a_time)
    assert (status.answered, status.state, len(lists)) == (11, JobState.COMPLETED, 3)


def _ten_at_a_time(params: dict[str, Any], **_: Any) -> None:
    params["MaxKeys"] = 10


def test_status_of_a_lost_job_is_an_integrity_failure(aws: Aws) -> None:
    """The ticket proves that the manifest was there."""
    made = make_job(aws, 1)
    made.remove(ledger.manifest_key("benefits", made.job))
    with pytest.raises(IntegrityError) as caught:
        job_status(aws.s3, aws.settings, made.ticket)
    assert caught.value.check == Check.MANIFEST_PRESENT
