"""How fast a large file is sealed and sent by 1, 2 and 4 worker processes, beside what the stand-ins take at most.

`python -m devstack.nightly_bench [LINES]`. The stand-in of S3 and SQS is one process, so beyond its ceiling more
workers only wait for it; the ceilings are measured with the same sizes and nothing else running.
"""

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from devstack.nightly import NightParts
from devstack.part import Part
from devstack.provision import provision
from devstack.root import DevelopmentRoot
from devstack.stack import TENANT
from producer.keyset import throwaway_keyset
from producer.ranges import Place, Reading, check_range, plan_ranges, seal_range
from producer.settings import ProducerSettings
from sealbatch.clients import producer_clients
from sealbatch.config import load_config
from sealbatch.nightly.plan import read_plan

EVENING: Final = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
OBJECTS: Final = 400
PATIENCE: Final = 1800.0


def main() -> int:
    """Measure and print JSON lines."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(prefix="sealbatch-bench-") as folder:
        root = Path(folder)
        source = root / "questions.jsonl"
        with source.open("w", encoding="utf-8") as file:
            for number in range(lines):
                question = f"How many days of parental leave are left in year {number % 30} of service?"
                file.write(json.dumps({"custom_id": f"case-{number}", "question": question}) + "\n")
        _tell({"what": "one process, without S3 and SQS", **_processor(source, lines)})
        for processes in (1, 2, 4):
            stand = root / f"aws-{processes}"
            stand.mkdir()
            aws = _start_aws(stand)
            try:
                if processes == 1:
                    _tell({"what": "ceiling of the stand-in", **_ceiling(stand)})
                seconds = _night(stand, source, processes)
                _tell({"what": f"{processes} worker processes", "seconds": seconds, "lines_a_second": lines / seconds})
            finally:
                aws.stop(5)
    return 0


def _processor(source: Path, lines: int) -> dict[str, float]:
    """Checking and sealing alone."""
    key = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000"
    settings = ProducerSettings(TENANT, "b", "http://queue", f"{key}a", f"{key}b", "0" * 96)
    schedule = _schedule(Path("/"), Path("/"))
    from sealbatch.nightly.schedule import Schedule

    parameters = Schedule.model_validate(schedule).parameters
    reading = Reading(parameters.form("x.jsonl"), parameters.params(), parameters.limits())
    begin = time.perf_counter()
    with source.open("rb") as file:
        _, [span, *_] = plan_ranges(file, source.stat().st_size, source.stat().st_size)
        planned = time.perf_counter()
        check_range(file, span, reading, b"k")
        checked = time.perf_counter()
        with Path(os.devnull).open("wb") as out:
            keyset = throwaway_keyset(settings, "a" * 16)
            seal_range(file, span, reading, out, place=Place("a" * 16, 0, 0), keyset=keyset, settings=settings)
    sealed = time.perf_counter()
    return {"plan_s": planned - begin, "check_s": checked - planned, "seal_s": sealed - checked,
            "lines_a_second": lines / (sealed - begin)}  # fmt: skip


def _ceiling(stand: Path) -> dict[str, float]:
    """Objects of a chunk's size and messages of ten, from sixteen threads."""
    config = load_config(stand / "sealbatch.toml", ())
    clients = producer_clients(config)
    s3: Any = clients.s3
    sqs: Any = clients.sqs
    body, bucket, queue = b"x" * 8_400, config.resources.bucket, config.resources.queue_url
    with ThreadPoolExecutor(16) as pool:
        begin = time.perf_counter()
        list(pool.map(lambda n: s3.put_object(Bucket=bucket, Key=f"x/{n}", Body=body, IfNoneMatch="*"), range(OBJECTS)))
        put = time.perf_counter() - begin
        entries = [{"Id": str(n), "MessageBody": "x" * 11_000} for n in range(10)]
        begin = time.perf_counter()
        list(pool.map(lambda _: sqs.send_message_batch(QueueUrl=queue, Entries=entries), range(OBJECTS // 10)))
        sent = time.perf_counter() - begin
    return {"objects_a_second": OBJECTS / put, "messages_a_second": OBJECTS / sent}


def _night(stand: Path, source: Path, processes: int) -> float:
    """Seconds from the taking of the file to its ticket."""
    inbox, answers, night = (stand / name for name in ("inbox", "answers", "night"))
    for folder in (inbox, answers, night):
        folder.mkdir(mode=0o700)
    with NightParts(
        night, stand / "sealbatch.toml", [_schedule(inbox, answers)], tick="1s", range_size="1 MB"
    ) as parts:
        parts.set_clock(EVENING)
        parts.start_valkey()
        parts.start_worker(concurrency=processes)
        parts.start_beat()
        _wait((inbox / ".sealbatch/bench/first-seen.json").exists)
        (inbox / source.name).hardlink_to(source)
        os.utime(source, (EVENING.timestamp() - 3600,) * 2)
        firing = next(read_plan(load_config(parts.config, ())).schedule("bench").when.after(EVENING))
        parts.set_clock(firing + timedelta(minutes=1))
        _wait(lambda: next(inbox.rglob("claim.json"), None))
        begin = time.perf_counter()
        _wait(lambda: next(inbox.rglob("ticket.json"), None))
        return time.perf_counter() - begin


def _schedule(inbox: Path, answers: Path) -> dict[str, Any]:
    names = {"name": "bench", "cron": "0 2 * * *", "time_zone": "UTC"}
    return names | {"inbox": str(inbox), "answers": str(answers)}


def _start_aws(stand: Path) -> Part:
    DevelopmentRoot.ensure(stand)
    part = Part("aws", ("-m", "devstack.aws", "--dev", str(stand)), stand / "aws.log")
    _wait((stand / "aws.json").exists)
    endpoint = str(json.loads((stand / "aws.json").read_text())["endpoint"])
    provision(endpoint, tenant=TENANT, image="0" * 96, folder=stand)
    return part


def _wait(met: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not met():
        if time.monotonic() > deadline:
            raise SystemExit("it takes too long")
        time.sleep(0.02)


def _tell(measured: dict[str, Any]) -> None:
    print(json.dumps({name: round(v, 2) if isinstance(v, float) else v for name, v in measured.items()}), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
