"""The plot of a run."""

import re
from pathlib import Path

import pytest

from bench.plot import draw

ROW = {"title": "OpenVINO GenAI int8", "contender": "openvino_int8", "workload": "first", "tokens_per_second": 20.0}
OURS = {"title": "sealbatch int8", "contender": "sealbatch_int8", "workload": "first", "tokens_per_second": 30.0}
GAP = {"contender": "vllm_bf16", "workload": "first", "cores": 1, "reason": "cannot be installed"}
RESULT = {
    "rows": [{**ROW, "cores": 1}, {**OURS, "cores": 1}, {**OURS, "cores": 2}],
    "missing": [GAP],
    "ideal_tokens_per_second": 90.0,
}


def texts(path: Path) -> list[str]:
    """What is written in an SVG."""
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())]


def test_every_contender_is_named_and_a_missing_one_is_called_so(tmp_path: Path) -> None:
    """Both panels, and text that stays text."""
    draw(RESULT, tmp_path / "plot.svg")
    found = texts(tmp_path / "plot.svg")
    assert {"OpenVINO GenAI int8", "sealbatch int8", "vLLM bf16", "missing", "30.0", "one core", "two cores"} <= set(
        found
    )


def test_the_same_result_gives_the_same_file(tmp_path: Path) -> None:
    """A plot in the repository changes when its figures do."""
    draw(RESULT, tmp_path / "one.svg")
    draw(RESULT, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_without_a_run_there_is_no_plot(tmp_path: Path) -> None:
    """Not an empty picture."""
    with pytest.raises(ValueError, match="nothing ran"):
        draw({"rows": [], "missing": [GAP], "ideal_tokens_per_second": None}, tmp_path / "plot.svg")
    assert not (tmp_path / "plot.svg").exists()
