"""`make roles-check`: installs each role into a new virtual environment, uses it there, and says what it took.

Wheels are downloaded anew, so the figures are a newcomer's: megabytes from the index, seconds for all of it, megabytes
on disk. What is downloaded depends on the index; name one with torch's CPU build where the usual one has a larger.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MB = 1e6
TORCH = frozenset({"enclave", "dev"})
ANSWER = """
from pathlib import Path
from enclave_worker.__main__ import main
from enclave_worker.build import build_engine
from enclave_worker.engine import Prompt, SamplingParams
from enclave_worker.settings import Settings
engine = build_engine(Settings(model=Path("models/benefits-bloom")))
engine.admit([Prompt(1, engine.tokenize("How many weeks?"), SamplingParams(2, 0.0, 1.0, 0, ()))])
while not engine.step():
    pass
"""
WORK: dict[str, Sequence[str]] = {
    "asker": ("sealbatch", "validate", "examples/benefits.jsonl"),
    "reader": ("sealbatch", "fetch", "--help"),
    "auditor": ("sealbatch", "verify", "--help"),
    "bridge": ("sealbatch", "enclave", "describe", "--help"),
    "nightly": ("sealbatch", "worker", "--help"),
    "enclave": ("python", "-c", ANSWER),
    "dev": ("python", "-m", "sealbatch", "dev", "demo"),  # so, the checkout with its template and model comes first
}


@dataclass(frozen=True)
class Taken:
    """What one role took."""

    role: str
    packages: int
    downloaded_mb: float
    seconds: float
    disk_mb: float


def run(words: Sequence[str | Path], **more: str) -> None:
    """Run it in the source tree, with nothing of this environment's Python."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    done = subprocess.run(words, cwd=ROOT, env=environment | more, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def size(folder: Path) -> float:
    """MB of the files below."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / MB


def check(role: str, own: Path, index: str | None, folder: Path) -> Taken:
    """Install a role and use it."""
    wheels, environment = folder / "wheels", folder / "venv"
    pip = (environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    constraints = ("--constraint", ROOT / "constraints.txt")
    wanted = f"sealbatch[{role}] @ {own.as_uri()}"
    begin = time.monotonic()
    run((sys.executable, "-m", "venv", environment))
    empty = size(environment)
    if role in TORCH and index:
        run((*pip, "download", "--no-cache-dir", "--no-deps", "--dest", wheels, "--index-url", index, "torch==2.13.0"))
    found = ("--find-links", wheels) if wheels.is_dir() else ()
    run((*pip, "download", "--no-cache-dir", "--dest", wheels, *found, *constraints, wanted))
    run((*pip, "install", "--no-index", "--no-compile", "--find-links", wheels, *constraints, wanted))
    seconds = time.monotonic() - begin
    others = [wheel for wheel in wheels.iterdir() if not wheel.name.startswith("sealbatch-")]
    program, *words = WORK[role]
    run((environment / "bin" / program, *words), HOME=str(folder))
    downloaded = sum(wheel.stat().st_size for wheel in others) / MB
    return Taken(role, len(others), round(downloaded, 1), round(seconds, 1), round(size(environment) - empty, 1))


def main() -> None:
    """Check the roles that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roles", nargs="*", help=f"of {', '.join(WORK)}; all of them if none is named")
    parser.add_argument("--torch-index", metavar="URL")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.roles) - set(WORK):
        parser.error(f"no such role: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="sealbatch-roles-") as folder:
        own = Path(folder)
        run((sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", own, ROOT))
        [wheel] = own.glob("sealbatch-*.whl")
        if not options.json:
            print(f"{'role':10} {'packages':>8} {'downloaded MB':>14} {'seconds':>8} {'disk MB':>8}")
        for role in options.roles or WORK:
            place = own / role
            place.mkdir()
            taken = check(role, wheel, options.torch_index, place)
            shutil.rmtree(place)
            print(json.dumps(asdict(taken)) if options.json else _row(taken), flush=True)


def _row(taken: Taken) -> str:
    return f"{taken.role:10} {taken.packages:8} {taken.downloaded_mb:14.1f} {taken.seconds:8.1f} {taken.disk_mb:8.1f}"


if __name__ == "__main__":
    main()
