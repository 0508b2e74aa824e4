"""The Python API against a real stack: its documented examples, and what a data scientist types."""

import asyncio
import doctest
import importlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from command import Typist

import sealbatch
from devstack.stack import Stack
from sealbatch import AsyncClient, Client, IntegrityError, verify

MODULES = [f"sealbatch.{name}" for name in ("aio", "client", "job", "questions", "validation")]
QUESTION = "How many weeks of parental leave can I take?"


@pytest.fixture(autouse=True)
def home(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with the stack's configuration and nothing else."""
    monkeypatch.setenv("SEALBATCH_CONFIG", str(stack.config))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    """A client of the stack."""
    with Client(stack.config) as client:
        yield client


@pytest.mark.parametrize("name", MODULES)
def test_every_example_of_the_documentation_does_what_it_says(name: str, client: Client) -> None:
    """As it is typed, against the stack; where an example has a client already, it is this one."""
    found = doctest.testmod(importlib.import_module(name), extraglobs={"client": client})
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("page", ["python.md", "parquet.md"])
def test_every_line_of_a_page_does_what_it_says(page: str, home: Path) -> None:
    """Of the pages that teach the API, one after the other."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / page).read_text().replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    found = doctest.DocTestRunner().run(test)
    assert found.attempted > 5
    assert found.failed == 0


def test_a_dataframe_becomes_a_job_and_a_dataframe_again(client: Client) -> None:
    """In three lines, matched by the custom_id."""
    frame = pd.DataFrame({"custom_id": ["a", "b"], "question": [QUESTION, "How many sick days do I have?"]})
    job = client.submit(frame)
    job.wait(timeout=60)
    answers = job.table().to_pandas()
    merged = frame.merge(answers, on="custom_id")
    assert list(merged.outcome) == ["succeeded", "succeeded"]
    assert "week" in merged.answer[0]


def test_parquet_goes_in_and_out_and_is_verified(home: Path, client: Client, typist: Typist, stack: Stack) -> None:
    """With the API and with the command; a changed answer is found, a selection can be proved."""
    frame = pd.DataFrame({"case": [7, 9], "question": [QUESTION] * 2})
    frame.to_parquet(home / "in.parquet")
    done = typist.type("submit", "in.parquet", "--id-column", "case")
    assert done.returncode == 0, done.stderr.decode()
    ticket = done.stdout.decode().strip()
    questions = sealbatch.Questions(home / "in.parquet", id_column="case")
    job = client.job(ticket)
    job.wait(timeout=60)
    summary = job.fetch("out.parquet", questions=questions, receipts="out.receipts")
    assert summary.all_succeeded
    root = tomllib.loads(stack.config.read_text())["attestation_root"]
    report = verify("out.parquet", ticket=ticket, questions=questions, development_root=root)
    assert (report.lines, report.attested) == (2, 2)
    table = pd.read_parquet(home / "out.parquet")
    assert list(table.custom_id) == ["7", "9"]
    part = table[table.custom_id == "9"]
    part.to_parquet("part.parquet", index=False)
    assert (
        verify("part.parquet", receipts="out.receipts", ticket=ticket, partial=True, development_root=root).lines == 1
    )
    table.loc[0, "answer"] = "No leave at all."
    table.to_parquet("forged.parquet", index=False)
    with pytest.raises(IntegrityError):
        verify("forged.parquet", receipts="out.receipts", ticket=ticket, development_root=root)
    how = ("--development-root", str(root), "--input", "in.parquet", "--id-column", "case")
    verified = typist.type("verify", "out.parquet", *how)
    assert verified.returncode == 0, verified.stderr.decode()


def test_what_failed_is_asked_again(client: Client) -> None:
    """A canceled job is retried from the same questions; the first job's results are all there then."""
    questions = [{"custom_id": f"q-{n}", "question": QUESTION} for n in range(3)]
    job = client.submit(questions, not_before="2099-01-01T00:00Z", name="later")
    assert job.cancel().canceled == 3
    assert [result.outcome for result in job.results()] == ["canceled"] * 3
    again = job.retry(iter(questions))
    assert again is not None
    again.wait(timeout=60)
    results = list(job.results(timeout=60))
    assert [(result.custom_id, result.outcome) for result in results] == [
        (item["custom_id"], "succeeded") for item in questions
    ]
    assert job.retry(questions) is None
    assert [kept.name for kept in client.jobs()][:2] == ["", "later"]


def test_many_jobs_at_once_in_one_loop() -> None:
    """What asyncio is for."""

    async def ask(client: AsyncClient, text: str) -> str:
        job = await client.submit([text], max_tokens=4)
        return json.dumps([result.outcome async for result in job.results(timeout=60)])

    async def main() -> list[str]:
        async with AsyncClient() as client:
            return await asyncio.gather(*(ask(client, f"{QUESTION} {n}") for n in range(4)))

    assert asyncio.run(main()) == ['["truncated"]'] * 4
