"""A session of the bench: order of runs, ratios, and the table in which nobody is left out."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench_runs import Runner

from bench import speed
from bench.contenders import CONTENDERS, RATIOS, Contender
from bench.environments import MissingError, TooSlowError
from bench.peak import best, measure_peaks
from bench.pinned import Job, Run
from bench.random_model import make
from bench.report import save
from bench.schedule import PAIR, cells
from bench.speed import Bench, Options, Ready

KEYS = tuple(CONTENDERS)
RATES = dict.fromkeys(KEYS, 10.0) | {"sealbatch_int8": 30.0, "openvino_int8": 20.0}
PEAKS = {"fp32_avx2": 100.0, "int8_avx2": 200.0, "int8_avx2_16bit_sums": 300.0}

MakeBench = Callable[..., Bench]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model small enough to make for a test."""
    return make(tmp_path_factory.mktemp("model") / "tiny", vocab_size=1000, hidden_size=32, n_layer=1, n_head=2)


@pytest.fixture
def bench(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeBench:
    """Makes a session in which nothing is installed and no process runs; `refused` cannot be installed."""
    monkeypatch.setattr(speed, "measure_peaks", lambda _: PEAKS)

    def make_bench(runner: Callable[[Job, float], Run], minutes: float = 20.0, refused: tuple[str, ...] = ()) -> Bench:
        session = Bench(Options(tmp_path, model, KEYS, minutes), lambda _: None, runner)

        def prepare(contender: Contender) -> Ready | MissingError:
            refusal = MissingError("cannot be installed: no wheel")
            return refusal if contender.key in refused else Ready(tmp_path, {})

        monkeypatch.setattr(session, "_prepare", prepare)
        return session

    return make_bench


def test_the_results_have_every_key_of_the_schema(bench: MakeBench, tmp_path: Path) -> None:
    """Ratios are ours over theirs; what is written is what is returned."""
    result = bench(Runner(RATES)).measure()
    assert result["ratios"].keys() == result["ratios_two_cores"].keys() == set(RATIOS)
    assert result["ratios"]["openvino_int8"] == 1.5
    assert result["ratios"]["vllm_bf16"] == 3.0
    assert (result["memory_mb"], result["load_s"]) == (900, 1.5)
    assert result["missing"] == []
    assert {"machine", "versions", "workloads", "peaks_gops", "rows"} <= result.keys()
    assert result["roofline_fraction"] > 0
    save(result, tmp_path / "results" / "engine.json")
    assert json.loads((tmp_path / "results" / "engine.json").read_text()) == json.loads(json.dumps(result))


def test_all_run_three_times_and_are_interleaved(bench: MakeBench) -> None:
    """Others run between the rounds of the pair that decides, so that a slow spell of the machine meets them all."""
    runner = Runner(RATES)
    result = bench(runner).measure()
    first = {row["contender"]: row for row in result["rows"] if (row["workload"], row["cores"]) == ("first", 1)}
    assert all(len(first[key]["runs"]) >= 3 for key in KEYS)
    ours = [place for place, run in enumerate(runner.order) if run == ("sealbatch_int8", 1)]
    others = {key for key in KEYS if key not in PAIR}
    assert others <= {key for key, _ in runner.order[ours[0] : ours[2]]}
    assert all(runner.order[place + 1][0] in {"openvino_int8", "sealbatch_int8"} for place in ours)


def test_a_peer_that_cannot_be_installed_is_named_with_the_reason(bench: MakeBench) -> None:
    """Its ratio is null, and not left out."""
    result = bench(Runner(RATES), refused=("vllm_bf16",)).measure()
    reasons = {gap["reason"] for gap in result["missing"] if gap["contender"] == "vllm_bf16"}
    assert reasons == {"cannot be installed: no wheel"}
    assert result["ratios"]["vllm_bf16"] is None


def test_a_peer_that_fails_is_named_once_and_not_started_again(bench: MakeBench) -> None:
    """A gap for each place of the table that it should have filled."""
    runner = Runner({key: rate for key, rate in RATES.items() if key != "openvino_int8"})
    result = bench(runner).measure()
    gaps = [(gap["workload"], gap["cores"]) for gap in result["missing"] if gap["contender"] == "openvino_int8"]
    assert len(gaps) == len(set(gaps)) == 5
    assert runner.order.count(("openvino_int8", 2)) == 1
    assert result["ratios"]["openvino_int8"] is None


def test_every_contender_has_a_row_or_a_reason_when_time_is_short(bench: MakeBench) -> None:
    """Without time for a single run, all are named as missing for want of it."""
    result = bench(Runner(RATES), minutes=1e-9).measure()
    assert {gap["contender"] for gap in result["missing"]} == set(KEYS)
    assert all("no time left" in gap["reason"] for gap in result["missing"])
    assert result["roofline_fraction"] is None


def test_a_run_that_the_budget_cuts_off_is_not_called_slow(bench: MakeBench) -> None:
    """Only who was given the whole time and did not finish is."""

    def slow(job: Job, limit: float) -> Run:
        raise TooSlowError(f"does not finish within {limit:.0f} s")

    cut = bench(slow, minutes=1).measure()
    assert {gap["reason"] for gap in cut["missing"]} == {"no time left within 1 minutes"}
    whole = bench(slow, minutes=100).measure()
    assert {gap["reason"] for gap in whole["missing"]} == {"does not finish within 300 s"}


def test_answers_are_compared_with_the_references(bench: MakeBench) -> None:
    """Over the requests that the reference ran: every eighth."""
    result = bench(Runner(RATES)).measure()
    rows = {row["contender"]: row for row in result["rows"] if (row["workload"], row["cores"]) == ("first", 1)}
    assert rows["sealbatch_int8"]["agreement"] == "8 of 8"


def test_the_full_schedule_runs_everything_three_times() -> None:
    """All workloads, one core and two."""
    visits = list(cells(full=True, chosen=KEYS))
    assert all(visits.count(cell) == 3 for cell in set(visits))
    assert len(set(visits)) == len(KEYS) * 4 * 2


def test_emulated_bf16_runs_a_smaller_part() -> None:
    """It is tens of times slower than what it emulates."""
    assert CONTENDERS["vllm_bf16"].part({"avx2"}) == 32
    assert CONTENDERS["vllm_bf16"].part({"avx512_bf16"}) == 2
    assert CONTENDERS["sealbatch_int8"].part({"avx2"}) == 1


def test_only_the_chosen_are_scheduled() -> None:
    """`--only` keeps the order of the table."""
    assert {cell.contender for cell in cells(full=False, chosen=PAIR)} == set(PAIR)


def test_a_missing_compiler_is_told_through_whatever_lets_errors_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that takes no traceback became another one there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)

    @contextmanager
    def passing() -> Iterator[None]:
        yield

    with pytest.raises(MissingError, match="no C compiler"), passing():
        measure_peaks(tmp_path)


def test_peaks_are_measured_by_a_program_that_is_compiled_here(tmp_path: Path) -> None:
    """Int8 instructions do more than fp32 ones, and the form that may overflow is nobody's peak."""
    if not any(map(shutil.which, ("gcc", "cc"))):
        pytest.skip("no C compiler here, and the bench says so")
    peaks = measure_peaks(tmp_path)
    assert best(peaks, "int8") > best(peaks, "fp32") > 1
    assert best(PEAKS, "int8") == 200.0
