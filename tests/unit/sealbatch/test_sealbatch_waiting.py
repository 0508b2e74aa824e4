"""What `sealbatch wait` does while S3 is away."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from job_factory import make_job, memory_aws

from results_consumer.errors import ServiceError
from results_consumer.status import JobState
from sealbatch.exits import Exit
from sealbatch.faults import Stop
from sealbatch.screen import Screen
from sealbatch.verbs import jobs


def gone(**_: Any) -> Any:
    """S3 is away."""
    raise EndpointConnectionError(endpoint_url="http://s3")


def test_an_outage_is_waited_for_after_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again until it answers, or until the time is over; at the very first look it is an error."""
    aws = memory_aws()
    made = make_job(aws, 2, 2)
    listing, looks = aws.s3.list_objects_v2, list[float]()
    s3 = SimpleNamespace(get_object=aws.s3.get_object, list_objects_v2=listing)
    config: Any = SimpleNamespace(reader=lambda: aws.settings)

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        s3.list_objects_v2 = gone
        if len(looks) == 5:
            made.answer_all()
            s3.list_objects_v2 = listing

    monkeypatch.setattr(jobs.time, "sleep", sleep)
    assert jobs.wait_for(Screen(quiet=True), config, s3, made.ticket).state is JobState.COMPLETED
    assert len(looks) == 5
    s3.list_objects_v2 = gone
    with pytest.raises(ServiceError):
        jobs.wait_for(Screen(quiet=True), config, s3, made.ticket)
    other = make_job(aws, 1)
    s3.list_objects_v2 = listing
    with pytest.raises(Stop) as caught:
        jobs.wait_for(Screen(quiet=True), config, s3, other.ticket, timeout=0)
    assert caught.value.code is Exit.TIMEOUT
