"""The Python API against services in memory: waiting, results as they come, and the same for asyncio."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from job_factory import MadeJob, make_job, memory_aws

import sealbatch
from aws_errors.service_error import ServiceError
from results_consumer.errors import IntegrityError, JobNotFinished
from results_consumer.status import JobState, clock_ms
from sealbatch import AsyncClient, AsyncJob, Client, Job, JobStalled, OptionError, Progress, WaitTimeout
from sealbatch.config import Config, Resources


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeJob:
    """A job of three chunks that nobody has answered."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return make_job(memory_aws(), 3, 1, 2)


def client_of(made: MadeJob) -> Client:
    """A client whose services are the job's."""
    client = Client(Config(Resources(), "here"))
    client.config = SimpleNamespace(reader=lambda *_: made.aws.settings)  # type: ignore[assignment]
    client.s3, client.kms = made.aws.s3, made.aws.kms
    return client


def job_of(made: MadeJob) -> Job:
    """The job as a program holds it."""
    return client_of(made).job(str(made.ticket))


def gone(**_: Any) -> Any:
    """S3 is away."""
    raise EndpointConnectionError(endpoint_url="http://s3")


def test_an_outage_is_waited_for_after_the_first_look(made: MadeJob) -> None:
    """It is asked again until it answers, or until the time is over; at the very first look it is an error."""
    looks = list[float]()
    s3 = SimpleNamespace(get_object=made.aws.s3.get_object, list_objects_v2=made.aws.s3.list_objects_v2)
    job = job_of(made)
    job._client.s3 = s3

    def pause(seconds: float) -> None:
        looks.append(seconds)
        s3.list_objects_v2 = gone
        if len(looks) == 5:
            made.answer_all()
            s3.list_objects_v2 = made.aws.s3.list_objects_v2

    told = list[Progress]()
    assert job.wait(progress=told.append, pause=pause).state is JobState.COMPLETED
    assert len(looks) == 5
    assert [state.note for state in told if state.note] == ["S3 does not answer; asking again"] * 4
    s3.list_objects_v2 = gone
    with pytest.raises(ServiceError):
        job.wait()


def test_a_wait_ends_when_its_time_is_over_or_the_host_says_why(made: MadeJob) -> None:
    """Both name the ticket, by which one goes on."""
    job = job_of(made)
    made.answer(0)
    with pytest.raises(WaitTimeout) as late:
        job.wait(timeout=0)
    assert (late.value.answered, late.value.total, late.value.ticket) == (3, 6, job.ticket)
    assert isinstance(late.value, TimeoutError)
    made.notice("key_denied", clock_ms())
    with pytest.raises(JobStalled, match="key policy") as stalled:
        job.wait()
    assert stalled.value.ticket == job.ticket
    with pytest.raises(JobStalled):
        list(job.results())


def test_results_come_chunk_by_chunk_while_the_job_runs(made: MadeJob) -> None:
    """The first ones before the last are answered; in order, with all that there is to know."""
    made.answer(0)
    results = job_of(made).results()
    first = next(results)
    assert (first.custom_id, first.line, first.outcome, first.answer) == ("case-0", 1, "succeeded", "Answer 0.")
    assert (first.attested, first.prompt_tokens, first.completion_tokens) == (True, 10, 4)
    assert [next(results).custom_id for _ in range(2)] == ["case-1", "case-2"]
    made.answer(1)
    assert next(results).custom_id == "case-3"
    made.fail(2, 4, 2, "enclave_lost")
    last = list(results)
    assert [(r.outcome, r.error_code, r.retryable, r.attested) for r in last] == [
        ("errored", "enclave_lost", True, False)
    ] * 2


def test_what_does_not_verify_is_raised_after_what_did(made: MadeJob) -> None:
    """Nothing of a chunk that is forged is given out."""
    made.answer(0)
    made.answer(1, key=bytes(32))
    made.answer(2)
    results = job_of(made).results()
    assert [next(results).custom_id for _ in range(3)] == ["case-0", "case-1", "case-2"]
    with pytest.raises(IntegrityError):
        next(results)


def test_leaving_the_loop_ends_the_reading(made: MadeJob) -> None:
    """The thread that reads ahead does not outlive whom it reads for."""
    made.answer(0)
    results = job_of(made).results()
    next(results)
    results.close()  # type: ignore[attr-defined] - it is a generator
    for thread in threading.enumerate():
        if thread.name == "sealbatch-results":
            thread.join(60)
            assert not thread.is_alive()


def test_fetch_goes_by_the_name_of_its_output(made: MadeJob, tmp_path: Path) -> None:
    """Or by what is said; what cannot be is refused before anything is read."""
    job = job_of(made)
    with pytest.raises(JobNotFinished):
        job.fetch(tmp_path / "early.jsonl")
    made.answer_all()
    heads = {"jsonl": b'{"id":"batch', "csv": b"custom_id,li", "parquet": b"PAR1"}
    for form, head in heads.items():
        assert job.fetch(tmp_path / f"out.{form}").records == 6
        assert (tmp_path / f"out.{form}").read_bytes().startswith(head)
        job.fetch(tmp_path / form, format=form)  # type: ignore[arg-type]
        assert (tmp_path / form).read_bytes()[:4] == head[:4]
    assert job.table(only="failed").num_rows == 0
    assert job.table(only="answered").num_rows == 6
    with pytest.raises(OptionError, match="only"):
        job.fetch(tmp_path / "x", only="some")
    with pytest.raises(OptionError, match="follow"):
        job.fetch(tmp_path / "x.parquet", follow=True)
    with pytest.raises(OptionError, match="format"):
        job.fetch(tmp_path / "x", format="xml")  # type: ignore[arg-type]


def async_job(made: MadeJob) -> tuple[AsyncClient, AsyncJob]:
    """The job as an asyncio program holds it."""
    client = AsyncClient(Config(Resources(), "here"))
    client._one = client_of(made)
    client._one.close = lambda: None
    return client, client.job(str(made.ticket))


def test_the_async_face_does_the_same(made: MadeJob, tmp_path: Path) -> None:
    """Each call in a thread, the results one by one."""

    async def main() -> None:
        client, job = async_job(made)
        async with client:
            assert (await job.status()).state is JobState.QUEUED
            made.answer_all()
            assert (await job.wait(timeout=60)).answered == 6
            assert [result.line async for result in job.results()] == [1, 2, 3, 4, 5, 6]
            assert (await job.fetch(tmp_path / "out.jsonl")).records == 6

    asyncio.run(main())


@pytest.mark.parametrize("what", ["wait", "results"])
def test_a_canceled_task_ends_its_thread(made: MadeJob, what: str) -> None:
    """At the next step of the call: nobody waits for a job that nobody waits for."""

    async def main() -> None:
        client, job = async_job(made)

        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        def tell(_: Progress) -> None:
            loop.call_soon_threadsafe(begun.set)

        async def read() -> None:
            _ = [result async for result in job.results(progress=tell)]

        async with client:
            task = asyncio.ensure_future(job.wait(progress=tell) if what == "wait" else read())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            client._pool.shutdown(wait=True)

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("what", ["wait", "fetch", "results"])
def test_an_async_call_waits_as_it_is_told(made: MadeJob, tmp_path: Path, what: str) -> None:
    """`pause` was taken and never called."""
    waited = list[float]()

    def pause(seconds: float) -> None:
        waited.append(seconds)
        made.answer_all()

    async def main() -> None:
        client, job = async_job(made)
        async with client:
            match what:
                case "wait":
                    assert (await job.wait(pause=pause)).answered == 6
                case "fetch":
                    assert (await job.fetch(tmp_path / "out.jsonl", follow=True, pause=pause)).records == 6
                case _:
                    assert len([result async for result in job.results(pause=pause)]) == 6

    asyncio.run(main())
    assert len(waited) == 1


WRONG: dict[str, Callable[[Client, Job], Any]] = {
    "name": lambda client, _: client.submit([], name=5),  # type: ignore[arg-type]
    "stop": lambda client, _: client.submit([], stop=5),  # type: ignore[arg-type]
    "chunk_size": lambda client, _: client.submit([], chunk_size="5"),  # type: ignore[arg-type]
    "skip_invalid": lambda client, _: client.submit([], skip_invalid="no"),  # type: ignore[arg-type]
    "deadline": lambda client, _: client.submit([], deadline=5),  # type: ignore[arg-type]
    "completion_window": lambda _, job: job.retry([], completion_window=5),  # type: ignore[arg-type]
    "idempotency_key": lambda client, _: client.submit([], idempotency_key=5),  # type: ignore[arg-type]
    "require": lambda client, _: client.submit([], require=["a.json"]),  # type: ignore[list-item]
    "progress": lambda client, _: client.submit([], progress=5),  # type: ignore[arg-type]
    "questions": lambda _, job: job.fetch("x", questions=5),  # type: ignore[arg-type]
    "timeout": lambda _, job: job.wait("5"),  # type: ignore[arg-type]
    "pause": lambda _, job: list(job.results(pause=5)),  # type: ignore[arg-type]
    "releases": lambda _, job: job.table(releases="a.json"),  # type: ignore[arg-type]
    "receipts": lambda _, job: job.fetch("x", receipts=5),  # type: ignore[arg-type]
    "output": lambda _, job: job.fetch(5),  # type: ignore[arg-type]
    "ticket": lambda client, _: client.job(None),  # type: ignore[arg-type]
    "config": lambda *_: Client(5),  # type: ignore[arg-type]
    "max_problems": lambda *_: sealbatch.validate([], max_problems="5"),  # type: ignore[arg-type]
    "id_column": lambda *_: sealbatch.Questions([], id_column=5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_a_wrong_type_is_refused_by_its_name(made: MadeJob, name: str) -> None:
    """Before anything is read or sent, and not by a TypeError out of some function far inside."""
    client = client_of(made)
    client.config.producer = None  # type: ignore[assignment, method-assign] - nothing gets so far
    with pytest.raises(OptionError) as refused:
        WRONG[name](client, job_of(made))
    assert refused.value.option == name
    assert isinstance(refused.value, TypeError)


def test_a_setting_over_a_configuration_that_was_read_is_refused() -> None:
    """It was passed over without a word: another tenant's questions would have gone out under the file's."""
    with pytest.raises(OptionError, match="tenant"):
        Client(Config(Resources(), "here"), tenant="benefits")


def test_every_name_of_the_api_is_there_and_nothing_else() -> None:
    """Each is what the type checker is told it is."""
    assert all(getattr(sealbatch, name).__name__ == name for name in sealbatch.__all__)
    assert set(sealbatch.__all__) <= set(dir(sealbatch))
    with pytest.raises(AttributeError, match="nothing"):
        sealbatch.nothing  # noqa: B018 - the look is the test


def test_importing_loads_nothing_heavy() -> None:
    """`sealbatch` imports nothing but itself, and the client no model, no queue, no tables and no screen."""
    code = (
        "import sys, sealbatch; own = [m for m in sys.modules if m.partition('.')[0] in ('wire', 'producer', 'boto3')];"
        "from sealbatch import AsyncClient, Client, verify; heavy = set(sys.modules) & {'torch', 'transformers',"
        "'celery', 'pyarrow', 'pandas', 'rich', 'typer', 'redis', 'moto', 'prometheus_client', 'starlette'};"
        "print(own, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"
