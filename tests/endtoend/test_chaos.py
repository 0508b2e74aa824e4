"""A short seeded run of chaos; `make chaos SECONDS=... SEED=...` runs longer ones."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import Options, report, run


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_nothing_is_lost_repeated_or_wrong_whatever_dies(folder: Path) -> None:
    """Kills, halts and faults of AWS over real processes; every record has the answer of an undisturbed run, once."""
    options = Options(seconds=20, seed=5, pause=2.0, records=(40, 80))
    verdict, faults, jobs = run(options, folder)
    said = report(verdict, faults, jobs, options)
    assert faults.total() > 0, said
    assert verdict.records > 0, said
    assert said.splitlines()[-1] == "lost 0, repeated 0, wrong 0", said
    assert verdict.outcomes == {"succeeded": verdict.records}, said
