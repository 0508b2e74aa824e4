"""Counted instructions, and what is called a regression."""

import json
from pathlib import Path

import pytest

from bench import instructions
from bench.environments import MissingError


def counted(count: int, compiler: str = "g++ 12.2.0") -> dict[str, object]:
    """What a measurement with one operation says."""
    return {"compiler": compiler, "operations": {"linear_int8": {"instructions": count, "each": 0.1}}}


@pytest.mark.parametrize(("now", "found"), [(1000, 0), (1010, 0), (1011, 1), (500, 0)])
def test_over_a_per_cent_more_is_a_regression(tmp_path: Path, now: int, found: int) -> None:
    """Less, or the noise of a different heap, is none."""
    before = tmp_path / "instructions.json"
    before.write_text(json.dumps(counted(1000)))
    assert len(instructions.regressions(counted(now), before)) == found


def test_another_compiler_and_a_first_measurement_compare_with_nothing(tmp_path: Path) -> None:
    """Its counts are its own."""
    before = tmp_path / "instructions.json"
    assert not instructions.regressions(counted(9000), before)
    before.write_text(json.dumps(counted(1000, "g++ 14.1.0")))
    assert not instructions.regressions(counted(9000), before)


def test_without_valgrind_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is called measured."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MissingError, match="valgrind is not installed"):
        instructions.measure(tmp_path)
