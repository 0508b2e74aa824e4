"""How fast a large file is sealed and sent by 1, 2 and 4 worker processes, and what of that is whose.

`python -m devstack.nightly_bench --lines N --workers 1 2 4 --against moto sink`. Each run is a night with real workers,
beat and Valkey, from the firing to the ticket. It is measured against two stand-ins of S3 and SQS: moto, which is one
process of Python and limits everybody beyond its own speed, and `devstack.sink`, which takes chunks and forgets them.

Two figures tell what a machine with few cores cannot show in lines a second: lines for each second of the workers'
processor time, which stays the same if more workers do not stand in each other's way, and lines for each second of the
stand-in's, which is what it would take at most with a core of its own.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from devstack.nightly import NightParts
from devstack.part import Part, PartError, endpoint_of, wait_until
from devstack.provision import TENANT, provisioned
from devstack.usage import Usage, usage
from producer.chunks import ChunkLimits
from producer.forms import InputForm
from producer.keyset import throwaway_keyset
from producer.ranges import Place, Reading, check_range, plan_ranges, seal_range
from producer.settings import ProducerSettings
from sealbatch.config import load_config
from sealbatch.nightly.plan import read_plan
from sealbatch.terminal.screen import Screen
from wire.payload import Params

EVENING: Final = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
RANGES: Final = 32
"""Ranges of a file, if they are not too small then: enough that four workers end at about the same time."""
SMALLEST: Final = 1_000_000
MOST_IN_MOTO: Final = 200_000
"""Lines: moto keeps every object and message in memory."""
MOST_ALONE: Final = 200_000
"""Lines: a rate of one process, which more of them do not change."""
SLOWEST: Final = 300
"""Lines a second; what is slower has failed."""
COLUMNS: Final = (
    "what", "workers", "lines", "seconds", "lines_a_second", "lines_a_worker_second", "lines_a_stand_in_second",
    "cores_busy", "worker_peak_mib",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stand:
    """A stand-in of AWS: its configuration, and the process whose speed limits it."""

    config: Path
    limit: Part


def main() -> int:
    """Measure; a table on a terminal, JSON lines in a pipe."""
    parser = argparse.ArgumentParser(prog="make bench-nightly", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--against", nargs="+", choices=("moto", "sink"), default=["sink", "moto"])
    options = parser.parse_args()
    screen = Screen()
    rows = []
    try:
        for row in _measure(options.lines, options.workers, options.against, screen):
            rows.append(row)
            if not screen.tables:
                screen.rows(COLUMNS, [row])
    except PartError as error:
        screen.say(str(error))
        return 1
    if screen.tables:
        screen.rows(COLUMNS, rows)
    return 0


def _measure(lines: int, workers: list[int], against: list[str], screen: Screen) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="sealbatch-bench-") as folder:
        source = Path(folder) / "questions.jsonl"
        _write(source, lines)
        screen.say(f"{lines:,} lines, {source.stat().st_size / 1e6:,.0f} MB; {os.cpu_count()} cores")
        yield _alone(Path(folder) / "alone.jsonl", min(lines, MOST_ALONE))
        for name in against:
            if name == "moto" and lines > MOST_IN_MOTO:
                screen.say(f"not against moto: it would keep {lines:,} lines in memory")
                continue
            for number in workers:
                place = Path(folder) / f"{name}-{number}"
                place.mkdir(mode=0o700)
                with _stand(place, sink=name == "sink") as stand:
                    yield {"what": f"a night against {name}", **_night(place, stand, source, number, lines)}


def _write(source: Path, lines: int) -> None:
    with source.open("w", encoding="utf-8") as file:
        for number in range(lines):
            question = f"How many days of parental leave are left in year {number % 30} of service?"
            file.write(json.dumps({"custom_id": f"case-{number}", "question": question}) + "\n")
    os.utime(source, (EVENING.timestamp() - 3600,) * 2)


def _alone(source: Path, lines: int) -> dict[str, Any]:
    """Checking and sealing in this process, without a worker or a service."""
    _write(source, lines)
    key = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000"
    settings = ProducerSettings(TENANT, "b", "http://queue", f"{key}a", f"{key}b", "0" * 96)
    reading = Reading(InputForm("jsonl"), Params(), ChunkLimits())
    begin, before = time.perf_counter(), usage(os.getpid())
    with source.open("rb") as file, Path(os.devnull).open("wb") as out:
        _, spans = plan_ranges(file, source.stat().st_size, _range_size(source))
        for span in spans:
            check_range(file, span, reading, b"k")
            keyset = throwaway_keyset(settings, "a" * 16)
            seal_range(file, span, reading, out, place=Place("a" * 16, 0, 0), keyset=keyset, settings=settings)
    row = _row(1, lines, time.perf_counter() - begin, (before, usage(os.getpid())))
    return {"what": "checking and sealing alone", **row}


def _night(place: Path, stand: Stand, source: Path, workers: int, lines: int) -> dict[str, Any]:
    """From the firing to the ticket."""
    inbox, answers, night = (place / name for name in ("inbox", "answers", "night"))
    for folder in (inbox, answers, night):
        folder.mkdir(mode=0o700)
    schedule = {"name": "bench", "cron": "0 2 * * *", "time_zone": "UTC", "inbox": str(inbox), "answers": str(answers)}
    range_size = f"{_range_size(source) // 1000} KB"
    with NightParts(night, stand.config, [schedule], tick="1s", range_size=range_size) as parts:
        parts.set_clock(EVENING)
        parts.start_valkey()
        worker = parts.start_worker(concurrency=workers)
        parts.start_beat()
        own = inbox / ".sealbatch/bench"
        wait_until((own / "first-seen.json").exists, 60, "the first tick")
        (inbox / source.name).hardlink_to(source)
        firing = next(read_plan(load_config(parts.config, ())).schedule("bench").when.after(EVENING))
        parts.set_clock(firing + timedelta(minutes=1))
        wait_until(lambda: next(own.rglob("input/*"), None), 60, "the file in the run")
        begin, before, served = time.perf_counter(), usage(worker.pid), usage(stand.limit.pid)
        wait_until(lambda: next(own.glob("runs/*/items/*/ticket.json"), None), 120 + lines / SLOWEST, "the ticket")
        seconds = time.perf_counter() - begin
        used = before, usage(worker.pid)
        return _row(workers, lines, seconds, used, served=usage(stand.limit.pid).cpu - served.cpu)


def _row(
    workers: int, lines: int, seconds: float, used: tuple[Usage, Usage], *, served: float | None = None
) -> dict[str, Any]:
    """What the workers used before and after, and the seconds of the stand-in's processor time."""
    cpu = used[1].cpu - used[0].cpu
    return {
        "workers": workers,
        "lines": lines,
        "seconds": round(seconds, 1),
        "lines_a_second": round(lines / seconds),
        "lines_a_worker_second": round(lines / cpu),
        "lines_a_stand_in_second": round(lines / served) if served else None,
        "cores_busy": round((cpu + (served or 0.0)) / seconds, 2),
        "worker_peak_mib": round(used[1].peak),
    }


def _range_size(source: Path) -> int:
    return max(SMALLEST, -(-source.stat().st_size // RANGES))


@contextmanager
def _stand(place: Path, *, sink: bool) -> Iterator[Stand]:
    """A stand-in of AWS in `place`, which has its configuration then."""
    config = place / "sealbatch.toml"
    with provisioned(place, image="0" * 96) as aws:
        if not sink:
            yield Stand(config, aws)
            return
        where, upstream = place / "sink.json", aws.endpoint()
        arguments = ("-m", "devstack.sink", "--upstream", upstream, "--place", str(where))
        part = Part("sink", arguments, place / "sink.log")
        try:
            config.write_text(config.read_text().replace(upstream, endpoint_of(part, where)))
            yield Stand(config, part)
        finally:
            part.kill()


if __name__ == "__main__":
    sys.exit(main())
