"""What tests of the reader ask again and again."""

import io
from pathlib import Path
from typing import Any

import pytest
from folders import names
from job_factory import MadeJob, parse_lines

from results_consumer.errors import Check, IntegrityError
from results_consumer.fetch import FetchOptions, fetch
from results_consumer.sink import FileSink, StreamSink
from results_consumer.tally import FetchSummary

FOREIGN_ARN = "arn:aws:kms:eu-central-1:123456789012:key/z"


def fetched(
    made: MadeJob, options: FetchOptions | None = None, now_ms: int | None = None
) -> tuple[FetchSummary, list[Any]]:
    """Summary and lines of a fetch to a stream."""
    out, aws = io.BytesIO(), made.aws
    summary = fetch(aws.s3, aws.kms, aws.settings, made.ticket, StreamSink(out), options=options, now_ms=now_ms)
    return summary, parse_lines(out.getvalue())


def ids(lines: list[Any]) -> list[str | None]:
    """Their custom_ids."""
    return [line["custom_id"] for line in lines]


def refused(made: MadeJob, folder: Path, check: Check, where: str | None = None) -> None:
    """A fetch fails at `check`, names the object, and leaves the folder empty."""
    aws = made.aws
    with pytest.raises(IntegrityError) as caught:
        fetch(aws.s3, aws.kms, aws.settings, made.ticket, FileSink(folder / "out"))
    assert caught.value.check == check
    assert (caught.value.step, caught.value.code) == (check.value, check.name.lower())
    if where is not None:
        assert caught.value.where == where
        assert where in str(caught.value)
    assert names(folder) == []
