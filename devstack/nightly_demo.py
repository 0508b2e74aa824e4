"""`sealbatch dev demo-nightly`: a night from the evening to the morning, in less than two minutes.

Real workers, a real beat, a real Valkey; only the schedule's clock is moved from the evening to the hour that it waits
for, runs faster than others, and is moved on to the morning.
"""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from devstack.demo import EXAMPLES, demonstration_stack
from devstack.nightly import NightParts
from devstack.part import wait_until
from devstack.stack import StackOptions
from sealbatch.config import load_config
from sealbatch.exits import Exit
from sealbatch.nightly.plan import read_plan
from sealbatch.terminal.screen import Screen

OUTPUT: Final = Path("demo-night")
EVENING: Final = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
ZONE: Final = "America/New_York"
SPEED: Final = 5
PATIENCE: Final = 600.0
"""Seconds, of which a busy machine without a compiled engine needs some hundred."""


def run(screen: Screen, options: StackOptions) -> Exit:
    """Show it; the exit code is 0 if the morning is as it should be."""
    with demonstration_stack(screen, options, "night") as stack:
        shutil.rmtree(OUTPUT, ignore_errors=True)
        inbox, answers = (OUTPUT.resolve() / name for name in ("inbox", "answers"))
        night = stack.folder.with_name("night")
        for folder in (inbox, answers, night):
            folder.mkdir(mode=0o700, parents=True)
        with NightParts(night, stack.config, [_schedule(inbox, answers)]) as parts:
            return _night(screen, parts, inbox, answers)


def _schedule(inbox: Path, answers: Path) -> dict[str, Any]:
    told = OUTPUT.resolve() / "told.json"
    return {
        "name": "benefits",
        "cron": "0 2 * * *",
        "time_zone": ZONE,
        "inbox": str(inbox),
        "answers": str(answers),
        "deadline": "6h",
        "parameters": {"chunk_size": 4},
        "tell": [{"command": ["sh", "-c", f"cat > '{told}'"]}],
    }


def _night(screen: Screen, parts: NightParts, inbox: Path, answers: Path) -> Exit:
    parts.set_clock(EVENING)
    firing = next(read_plan(load_config(parts.config, ())).schedule("benefits").when.after(EVENING))
    screen.say("starting Valkey, a worker with two processes, and beat")
    parts.start_valkey()
    parts.start_worker(concurrency=2)
    parts.start_beat()
    _drop(inbox)
    screen.say("")
    screen.say(f"Evening. Three files lie in the inbox: {', '.join(sorted(path.name for path in inbox.glob('*.*')))}")
    _wait(parts, (inbox / ".sealbatch/benefits/first-seen.json").exists, "the first tick")
    parts.set_clock(firing + timedelta(seconds=30), speed=SPEED)
    screen.say(f"The clock moves to {firing:%H:%M} UTC, which is 02:00 in {ZONE}: the schedule fires.")
    _wait(parts, lambda: len(list((inbox / "done").rglob("*.jsonl"))) + len(_failed(inbox)) >= 2, "the answers")
    _wait(parts, lambda: not list((inbox / ".sealbatch").rglob("input/*")), "the last file")
    parts.set_clock(firing + timedelta(hours=5), speed=SPEED)
    _wait(parts, lambda: next(answers.rglob("report.html"), None) and (OUTPUT / "told.json").exists(), "the report")
    return _show(screen, inbox)


def _drop(inbox: Path) -> None:
    """Good questions as JSON lines and as CSV, and a file that a schedule must refuse."""
    lines = (EXAMPLES / "benefits.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (inbox / "benefits.jsonl").write_text("".join(lines[:40]), encoding="utf-8")
    (inbox / "leave.csv").write_text(
        "custom_id,question\nleave-1,How many weeks of parental leave can I take?\nleave-2,How many sick days?\n",
        encoding="utf-8",
    )
    shutil.copy(EXAMPLES / "broken.jsonl", inbox / "broken.jsonl")
    for path in inbox.iterdir():
        # The schedule's evening is long before or after ours.
        os.utime(path, (EVENING.timestamp() - 3600,) * 2)


def _wait(parts: NightParts, met: Callable[[], object], what: str) -> None:
    wait_until(met, PATIENCE, what, *parts.parts)


def _failed(inbox: Path) -> list[Path]:
    return [path for path in (inbox / "failed").rglob("*") if path.is_file() and not path.name.endswith(".report.json")]


def _show(screen: Screen, inbox: Path) -> Exit:
    screen.say("")
    screen.say(f"Morning. In {OUTPUT}/:")
    for path in sorted(OUTPUT.rglob("*")):
        if path.is_file() and ".sealbatch" not in path.parts:
            screen.say(f"  {path.relative_to(OUTPUT)}  {path.stat().st_mode & 0o777:o}")
    told = json.loads((OUTPUT / "told.json").read_text(encoding="utf-8"))
    screen.say("")
    files, records, tokens = (told[name] for name in ("files", "records", "tokens"))
    screen.say(
        f"Told, in ids and counts: {files['delivered']} files delivered, {files['failed']} failed; {records['total']} "
        f"records, {records['succeeded']} succeeded; {tokens['completion_tokens']:,} tokens written."
    )
    screen.say("broken.jsonl is in failed/ with its faults beside it, by line; the others are in done/.")
    screen.next_step(f"open {next(OUTPUT.rglob('report.html'))}")
    good = told["files"]["delivered"] == 2 and told["files"]["failed"] == 1 and len(_failed(inbox)) == 1
    return Exit.OK if good else Exit.FAILED
