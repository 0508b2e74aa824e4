"""What type checkers know of the Python API. mypy checks it with everything else; nobody runs it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

from results_consumer.offline import ArchiveReport
from results_consumer.status import JobStatus
from results_consumer.tally import FetchSummary
from sealbatch import AsyncClient, AsyncJob, Client, Job, Questions, Release, Result, read_release, verify


def asked() -> None:
    """The synchronous face."""
    with Client("sealbatch.toml", tenant="benefits") as client:
        job = client.submit(Questions(Path("mail.csv"), id_column="case"), max_tokens=5, stop=["\n"])
        assert_type(job, Job)
        assert_type(job.wait(timeout=1.5), JobStatus)
        assert_type(job.results(), Iterator[Result])
        assert_type(job.fetch("out.csv", format="csv"), FetchSummary)
        assert_type(job.retry(["a"]), Job | None)
        client.submit(["a", {"question": "b"}], max_token=5)  # type: ignore[call-arg]
        job.fetch("out", format="xml")  # type: ignore[arg-type]
    release = read_release("pcrs.json")
    assert_type(release, Release)
    assert_type(verify("out.csv", releases=[release]), ArchiveReport)


async def asked_in_a_loop() -> None:
    """The one for asyncio: the same arguments, and what they give is awaited."""
    async with AsyncClient() as client:
        job = await client.submit(Path("mail.jsonl"), completion_window="8h")
        assert_type(job, AsyncJob)
        assert_type(await job.wait(5), JobStatus)
        assert_type(job.results(timeout=4), AsyncIterator[Result])
        assert_type(await job.fetch("out.jsonl"), FetchSummary)
        assert_type(await job.retry(["a"]), AsyncJob | None)
        await client.submit(["a"], max_token=5)  # type: ignore[call-arg]
