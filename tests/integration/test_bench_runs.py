"""The bench with real processes, on a model that takes a second; and pip's refusal."""

import os
import sys
from pathlib import Path

import pytest

from bench import accuracy, environments, parts
from bench.contenders import CONTENDERS
from bench.environments import MissingError, interpreter
from bench.pinned import Job, Run, run
from bench.random_model import make
from bench.speed import Bench, Options
from bench.workload import WORKLOADS

ONE_BY_ONE = "transformers_one_by_one_fp32"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers and a thousand tokens."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return make(folder, vocab_size=1000, hidden_size=64, n_layer=2, n_head=4)


def test_our_engine_answers_as_generate_does_and_both_are_measured(model: Path, tmp_path: Path) -> None:
    """Each in a process of its own, over the whole first workload or the part that the slow one runs."""
    chosen = ("sealbatch_fp32", ONE_BY_ONE)
    done: list[str] = []

    def once(job: Job, limit: float) -> Run:
        if job.contender.key in done:
            raise MissingError("once is enough")
        done.append(job.contender.key)
        return run(job, limit)

    result = Bench(Options(tmp_path, model, chosen, 20.0), lambda _: None, once).measure()
    rows = {row["contender"]: row for row in result["rows"] if (row["workload"], row["cores"]) == ("first", 1)}
    assert rows["sealbatch_fp32"]["requests"] == 32
    assert (rows[ONE_BY_ONE]["requests"], rows["sealbatch_fp32"]["agreement"]) == (8, "8 of 8")
    assert rows["sealbatch_fp32"]["rss_mb"] > rows["sealbatch_fp32"]["pss_mb"] > 10
    assert rows["sealbatch_fp32"]["load_s"] > 0


def test_where_the_time_goes_adds_up(model: Path, tmp_path: Path) -> None:
    """The whole workload; every kind of operation is there."""
    result = parts.measure(model, tmp_path, "int8", 1)
    assert sum(part["share"] for part in result["parts"]) == pytest.approx(1)
    assert {part["operation"] for part in result["parts"]} >= {"attention", "argmax", "linear 64 x 192", parts.REST}
    assert result["tokens_per_second"] * result["seconds"] == pytest.approx(WORKLOADS["first"].answers.total)


def test_what_the_precisions_change_is_measured(model: Path, tmp_path: Path) -> None:
    """Two requests on random weights, and two held-out questions to the demonstration model."""
    lines = Path("models/data/heldout.jsonl").read_text().splitlines()[:2]
    (tmp_path / "two.jsonl").write_text("\n".join(lines))
    options = accuracy.Options(model, 2, Path("models/benefits-bloom"), tmp_path / "two.jsonl", tmp_path)
    result = accuracy.measure(options, lambda _: None)
    assert set(result["random_model"]["precisions"]) == {"fp32", "bf16", "int8"}
    exact = result["random_model"]["precisions"]["fp32"]
    assert (exact["answers"], exact["whole_answers"]) == (2, 2)
    losses = result["demonstration_model"]["perplexity"]
    assert losses["fp32"] == pytest.approx(losses["transformers_fp32"], rel=1e-4)
    assert losses["int8"] < 1.2


def test_a_contender_that_fails_says_why_and_names_no_path(tmp_path: Path) -> None:
    """The last line of its error."""
    requests = WORKLOADS["first"].requests()[:1]
    model = tmp_path / "no-model"
    job = Job(CONTENDERS["sealbatch_fp32"], Path(sys.executable), model, requests, 1, {"model": str(model)})
    with pytest.raises(MissingError, match=r"fails: enclave_worker.manifest.ModelError: ") as caught:
        run(job, 60.0)
    assert str(tmp_path) not in caught.value.reason


def test_a_peer_that_pip_cannot_find_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named with pip's own words; a second try begins anew."""
    (tmp_path / "peer.txt").write_text("no-such-engine==1.0\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(MissingError, match=r"cannot be installed: ERROR: No matching distribution found"):
        interpreter("peer", tmp_path / "environments")
