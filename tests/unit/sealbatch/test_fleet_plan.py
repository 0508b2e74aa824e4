"""`sealbatch plan`: the simulation against what can be computed by hand, and the plan against its own promises."""

import json
import math
import re
from pathlib import Path

import pytest
from command import Typist
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.stack import MODEL, ROOT
from enclave_worker.settings import Settings
from sealbatch.exits import Exit
from sealbatch.fleet import plan as planning
from sealbatch.fleet.instances import instance_type
from sealbatch.fleet.prices import parse_prices
from sealbatch.fleet.quotas import Load, quotas
from sealbatch.fleet.simulate import Fleet, Rates, Work, foresee, simulate

HOUR = 3600.0


def test_one_enclave_by_hand() -> None:
    """Two chunks fit at a time: 4 chunks are two turns of 10 steps of 0.1 + 64 * 0.01 s, and the way there and back."""
    work, fleet = Work(records=128, chunk=32, tokens=10), Fleet(1, 8, 64)
    found = simulate(work, fleet, Rates(step_s=0.1, token_s=0.01, carry_s=0.4))
    assert found.end_s == pytest.approx(0.2 + 2 * 10 * (0.1 + 64 * 0.01) + 0.2)
    assert found.in_flight == 4


def test_a_last_chunk_alone_is_faster_a_step_and_slower_a_token() -> None:
    """3 chunks: two together, then one; its steps are shorter, since fewer sequences run."""
    found = simulate(Work(96, 32, 10), Fleet(1, 8, 64), Rates(step_s=0.1, token_s=0.01))
    assert found.end_s == pytest.approx(10 * (0.1 + 0.64) + 10 * (0.1 + 0.32))


def test_the_beginning_is_counted() -> None:
    """Sealing, then messages one by one, then an enclave that is ready later still and must ask KMS."""
    rates = Rates(step_s=0.1, token_s=0.0, before_s=5.0, send_s=1.0, unwrap_s=0.5)
    assert simulate(Work(32, 32, 10), Fleet(1, 8, 64), rates).end_s == pytest.approx(5 + 0.5 + 1)
    assert simulate(Work(32, 32, 10), Fleet(1, 8, 64, ready_s=20), rates).end_s == pytest.approx(20 + 0.5 + 1)
    # The second message is a second later, and its chunk runs beside the rest of the first.
    assert simulate(Work(64, 32, 10), Fleet(1, 8, 64), rates).end_s == pytest.approx(6 + 1)


def test_a_short_queue_is_shared() -> None:
    """4 chunks and 4 enclaves: one each, though one enclave's window has room for all."""
    found = simulate(Work(128, 32, 10), Fleet(4, 8, 64), Rates(step_s=0.1, token_s=0.0))
    assert found.end_s == pytest.approx(1.0)
    assert found.busy == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3_000), st.integers(1, 64), st.floats(1, 200), st.integers(1, 5), st.integers(1, 8), st.floats(0, 2)
)
def test_nothing_is_faster_than_its_engines(
    records: int, chunk: int, tokens: float, enclaves: int, window: int, carry: float
) -> None:
    """Every job ends, never before full engines could end it, and windows are kept."""
    work, rates = Work(records, chunk, tokens), Rates(step_s=0.01, token_s=0.002, carry_s=carry)
    found = simulate(work, Fleet(enclaves, window, 64), rates)
    full = 64 / (rates.step_s + 64 * rates.token_s)
    assert found.end_s >= records * tokens / (full * enclaves) - 1e-6
    assert 0 <= found.busy <= 1 + 1e-9
    assert found.in_flight <= min(enclaves * window, work.chunks)


def test_chunks_that_no_engine_holds_are_refused() -> None:
    """They would wait for ever."""
    with pytest.raises(ValueError, match="larger than an engine"):
        simulate(Work(100, 65, 1), Fleet(1, 8, 64), Rates(0.1, 0.1))


@pytest.mark.parametrize("send_s", [0.0, 0.05])
def test_a_long_job_is_foreseen_from_its_middle(send_s: float) -> None:
    """Within half a percent of the whole simulation, whether engines or messages are what it waits for."""
    work, fleet = Work(40_000, 32, 20), Fleet(3, 8, 64, 30)
    rates = Rates(step_s=0.01, token_s=0.001, before_s=10, send_s=send_s, carry_s=0.3, unwrap_s=0.2)
    assert foresee(work, fleet, rates).end_s == pytest.approx(simulate(work, fleet, rates).end_s, rel=0.005)


def test_the_rate_is_the_one_that_was_measured() -> None:
    """On one core and on two, in bench/results/engine.json, with the workload that the text names."""
    result = json.loads((ROOT / "bench/results/engine.json").read_text())
    rows = {
        row["cores"]: row
        for row in result["rows"]
        if row["contender"] == "sealbatch_int8" and row["workload"] == "first"
    }
    assert rows[1]["tokens_per_second"] == pytest.approx(planning.CORE_RATE)
    assert rows[2]["tokens_per_second"] / 2 / planning.CORE_RATE == pytest.approx(planning.SCALING, abs=0.005)
    first = result["workloads"]["first"]
    assert first["answer_tokens"] / first["requests"] == pytest.approx(48, abs=0.5)
    assert first["shared_prefix"] + first["own_prompt_tokens"] / first["requests"] == pytest.approx(134, abs=0.5)


def test_window_and_sequences_are_the_workers_own() -> None:
    """What is planned with is what the image does."""
    worker = Settings(model=MODEL)
    assert (worker.window_chunks, worker.max_sequences) == (planning.WINDOW, planning.SEQUENCES)


@pytest.mark.parametrize(("name", "cores"), [("c7i.4xlarge", 7), ("c7a.4xlarge", 14), ("m7i.xlarge", 1)])
def test_hyperthreads_are_not_cores(name: str, cores: int) -> None:
    """And the parent keeps its own."""
    expected = 100 * cores * (0.9 if cores > 1 else 1)
    assert planning.instance_rate(instance_type(name), 100, 0.9) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("questions", "hours", "name"),
    [(500, 1, "c7i.xlarge"), (200_000, 4, "c7a.4xlarge"), (2_000_000, 10, "r8i.8xlarge")],
)
def test_a_plan_keeps_its_promise_with_few_instances_too_many(questions: int, hours: float, name: str) -> None:
    """It ends in time, and a tenth less would not."""
    task = planning.Task(Work(questions, 32, 48), hours * HOUR)
    plan = planning.plan(task, instance_type(name), {})
    assert plan.outcome.end_s <= task.seconds
    assert plan.load.vcpus == plan.instances * plan.kind.vcpus
    if plan.instances > 1:
        less = planning._fleet(task, math.ceil(plan.instances * 0.9) - 1)
        assert foresee(task.work, less, planning._rates(task, plan.rate)).end_s > task.seconds


def test_costs_are_hours_times_price_and_requests_times_price() -> None:
    """By hand, for a night of a million."""
    task = planning.Task(Work(1_000_000, 32, 48), 8 * HOUR)
    plan = planning.plan(task, instance_type("c7i.4xlarge"), {"c7i.4xlarge": 1.0, "s3-put": 0.01, "kms-key": 1.0})
    hours = (plan.outcome.end_s - task.before_s) / 3600
    assert plan.costs["instances"] == pytest.approx(plan.instances * hours)
    assert plan.costs["s3-put"] == pytest.approx(2 * 31_250 / 1000 * 0.01)
    assert plan.costs["kms-key"] == pytest.approx(2 * hours / 730)
    assert plan.costs["sqs"] is None
    assert plan.cost == pytest.approx(sum(cost for cost in plan.costs.values() if cost))


@pytest.mark.parametrize("text", ["c7i.4xlarge", "c7i.4xlarge=", "sqs=nan", "sqs=-1", "sqs=inf", "s4=1", "c7g.large=1"])
def test_a_price_that_is_none(text: str) -> None:
    """The name is said."""
    with pytest.raises(ValueError, match=re.escape(text.partition("=")[0])):
        parse_prices([text])


@given(st.integers(0, 10**6), st.floats(0, 10**5), st.floats(0, 10**5), st.floats(0, 10**5), st.integers(0, 10**6))
def test_what_binds_first_stands_first(in_flight: int, kms: float, puts: float, gets: float, vcpus: int) -> None:
    """By the part that is used, each with its source."""
    found = quotas(Load(in_flight, kms, puts, gets, vcpus), vcpus=640)
    assert [quota.share for quota in found] == sorted((quota.share for quota in found), reverse=True)
    assert all(quota.source for quota in found)
    assert math.isclose(next(q.share for q in found if q.name == "vCPUs"), vcpus / 640)


def test_ten_million_by_six(tmp_path: Path) -> None:
    """As it is typed: rows in a pipe, what binds first, and exit 78 until the quota is raised."""
    words = ("plan", "--questions", "10000000", "--from", "2026-11-26T20:00Z", "--by", "2026-11-27T06:00Z")
    words = (*words, "--price", "c7i.4xlarge=1", "--price", "c7a.4xlarge=1")
    done = Typist(tmp_path).type(*words)
    assert done.returncode == Exit.CONFIGURATION
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["type"] for row in rows[:2]] == ["c7a.4xlarge", "c7i.4xlarge"]
    assert rows[1]["instances"] > rows[0]["instances"]
    assert rows[2]["quota"] == "vCPUs"
    assert f"raise vCPUs to {rows[0]['instances'] * 16}".encode() in done.stderr
    assert Typist(tmp_path).type(*words, "--vcpu-quota", "100000").returncode == Exit.OK


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--by", "soon"), Exit.USAGE, "06:00"),
        (("--by", "2020-01-01T00:00Z"), Exit.USAGE, "passed already"),
        (("--by", "06:00", "--instance-type", "t3.large"), Exit.USAGE, "--instance-type: t3.large"),
        (("--by", "06:00", "--price", "x=1"), Exit.USAGE, "--price: x"),
        (
            ("--from", "2026-11-26T20:00Z", "--by", "2026-11-26T20:04Z"),
            Exit.TEMPORARY,
            "240 s are left, sealing takes 0 s and starting 300 s",
        ),
    ],
)
def test_what_cannot_be_planned(tmp_path: Path, words: tuple[str, ...], code: Exit, said: str) -> None:
    """Each with what to do."""
    done = Typist(tmp_path).type("plan", "--questions", "10", *words)
    assert done.returncode == code
    assert said in done.stderr.decode()
