"""Makes the pictures of docs/pictures from real runs on this machine: `make screenshots`."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from frames import Frame, frames_of, last_frame
from pages import ROOT
from recording import Terminal, without
from terminal_svg import draw

from sealbatch.nightly.clock import VARIABLE

PICTURES: Final = ROOT / "docs" / "pictures"
COLUMNS: Final = 100
ROWS: Final = 30
HOLD: Final = 6.0
PATIENCE: Final = 240.0
ROOT_FILE: Final = "~/.local/state/sealbatch/dev/attestation/root.pem"
QUESTION: Final = "How many weeks of parental leave can I take?"


def main() -> None:
    """Make them all, or those that are named."""
    PICTURES.mkdir(exist_ok=True)
    wanted = set(sys.argv[1:]) or {"session", "night"}
    if unknown := wanted - {"session", "night"}:
        raise SystemExit(f"there is no picture of {', '.join(unknown)}: session or night")
    with tempfile.TemporaryDirectory(prefix="sealbatch-pictures-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        (home / "examples").symlink_to(ROOT / "examples")
        if "session" in wanted:
            session(home)
        if "night" in wanted:
            night(home)


def session(home: Path) -> None:
    """A first quarter of an hour: start, ask a file, look at an answer, prove it."""
    with _terminal(home) as terminal:
        try:
            terminal.look(1)
            terminal.type("sealbatch dev up", pause=1.5)
            terminal.type("head -n 2 examples/benefits.jsonl", pause=2)
            terminal.type("sealbatch run examples/benefits.jsonl -o answers.jsonl --receipts answers.receipts", pause=3)
            terminal.type(f'sealbatch ask "{QUESTION}"', pause=2.5)
            verify = len(terminal.cast.events)
            terminal.type(f"sealbatch verify answers.jsonl --development-root {ROOT_FILE}", pause=1)
        finally:
            subprocess.run(["sealbatch", "-q", "dev", "down"], env=_environment(home), check=False)
    cast = without(terminal.cast, [(str(home), "~")])
    cast.save(PICTURES / "session.cast")
    _write("session.svg", frames_of(cast, hold=HOLD), "Sealbatch in a terminal: ask, answer, prove")
    proof = last_frame(type(cast)(COLUMNS, ROWS, cast.events[verify:]))
    _write("verify.svg", [proof], "What sealbatch verify proves, step by step")


def night(home: Path) -> None:
    """A night: `sealbatch top` while it goes on, and the morning's report."""
    environment = _environment(home) | {"TMPDIR": str(home)}
    with subprocess.Popen(["sealbatch", "-q", "dev", "demo-nightly"], cwd=home, env=environment) as demo:
        config = _await(home, "sealbatch-night-*/night/sealbatch.toml")
        _await(home, "demo-night/inbox/.sealbatch/benefits/first-seen.json")
        more = {"SEALBATCH_CONFIG": str(config), VARIABLE: str(config.with_name("clock"))}
        with _terminal(home, **more) as terminal:
            terminal.start("sealbatch top")
            while demo.poll() is None:
                terminal.look(0.5)
            terminal.press("\x03")
            terminal.look(0.5)
    if demo.returncode:
        raise SystemExit(f"the night ended with {demo.returncode}")
    _write("top.svg", [_busiest(frames_of(terminal.cast, hold=1))], "sealbatch top while a night goes on")
    report = next((home / "demo-night").rglob("report.html"))
    _photograph(report, PICTURES / "report.png")


def _busiest(frames: list[Frame]) -> Frame:
    """The frame of the night in which there is most to see."""

    def words(frame: Frame) -> int:
        return sum(len(run.text.split()) for line in frame.lines for run in line)

    chosen = max(frames, key=words)
    return Frame(chosen.lines, None, 0.0)


def _photograph(page: Path, target: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit(f"{target.name} needs Chromium (apt-get install chromium); the other pictures are made")
    subprocess.run(
        [
            chromium,
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=900,1000"),
            f"--screenshot={target}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
    )
    sys.stdout.write(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes\n")


@contextmanager
def _terminal(home: Path, **more: str) -> Iterator[Terminal]:
    with Terminal(home, _environment(home) | more, columns=COLUMNS, rows=ROWS) as terminal:
        yield terminal


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(home)}


def _await(folder: Path, pattern: str) -> Path:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := next(folder.glob(pattern), None):
            return found
        time.sleep(0.2)
    raise SystemExit(f"{pattern} did not appear within {PATIENCE:.0f} s")


def _write(name: str, frames: list[Frame], title: str) -> None:
    used = max(index for frame in frames for index, line in enumerate(frame.lines) if line) + 1
    path = PICTURES / name
    path.write_text(draw(frames, COLUMNS, title, rows=used), encoding="utf-8")
    sys.stdout.write(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes, {len(frames)} frames\n")


if __name__ == "__main__":
    main()
