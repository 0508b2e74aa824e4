"""Makes the pictures of docs/pictures from real runs on this machine: `make screenshots`."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from frames import Frame, frames_of, last_frame
from pages import ROOT
from recording import Cast, Terminal, load, without
from terminal_svg import draw

from sealbatch.nightly.clock import VARIABLE

PICTURES: Final = ROOT / "docs" / "pictures"
COLUMNS: Final = 100
ROWS: Final = 30
SESSION_TITLE: Final = "Sealbatch in a terminal: a file of questions, its answers, and the proof of them"
HOLD: Final = 6.0
PATIENCE: Final = 240.0
ROOT_FILE: Final = "dev/attestation/root.pem"
QUESTION: Final = "How many weeks of parental leave can I take?"


def main() -> None:
    """Make them all, or those that are named."""
    PICTURES.mkdir(exist_ok=True)
    wanted = set(sys.argv[1:]) or {"session", "night"}
    if unknown := wanted - {"session", "drawn", "night"}:
        raise SystemExit(f"there is no picture of {', '.join(unknown)}: session, night, or drawn from what is kept")
    if "drawn" in wanted:
        draw_session()
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
            proof = len(terminal.cast.events)
            terminal.type("clear")
            terminal.type(f"sealbatch verify answers.jsonl --development-root {ROOT_FILE}", pause=1)
        finally:
            subprocess.run(["sealbatch", "-q", "dev", "down"], env=_environment(home), check=False)
    cast = without(terminal.cast, [(str(home), "~")])
    cast.save(PICTURES / "session.cast")
    draw_session()
    last = last_frame(Cast(COLUMNS, ROWS, cast.events[proof:]))
    _write("verify.svg", [last], "What sealbatch verify proves, step by step")


def draw_session() -> None:
    """Draw the session as it is kept, without recording it."""
    _write("session.svg", frames_of(load(PICTURES / "session.cast"), hold=HOLD), SESSION_TITLE)


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

    def busy(frame: Frame) -> tuple[int, int]:
        words = [word for line in frame.lines for run in line for word in run.text.split()]
        parts = [match for word in words if (match := re.fullmatch(r"(\d+)/(\d+)", word))]
        return sum(0 < int(part[1]) < int(part[2]) for part in parts), len(words)

    chosen = max(frames, key=busy)
    return Frame(chosen.lines, None, 0.0)


def _photograph(page: Path, target: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit(f"{target.name} needs Chromium (apt-get install chromium); the other pictures are made")
    subprocess.run(
        [
            chromium,
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=900,1270"),
            f"--screenshot={target}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
    )
    sys.stdout.write(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes\n")


def _terminal(home: Path, **more: str) -> Terminal:
    return Terminal(home, _environment(home) | more, columns=COLUMNS, rows=ROWS)


def _environment(home: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "SEALBATCH_DEV_HOME": str(home / "dev"),
    }


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
