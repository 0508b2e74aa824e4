"""What `sealbatch top` draws, of a night that goes on and of one where nobody answers."""

import io
import threading
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from rich.console import Console

from sealbatch.config import load_config
from sealbatch.nightly.assembly import Nights
from sealbatch.nightly.board import draw, line
from sealbatch.nightly.bridge_view import BridgeView, EnclaveView, ask_bridge
from sealbatch.nightly.clock import SystemClock
from sealbatch.nightly.plan import read_plan
from sealbatch.nightly.view import FileView, ScheduleView, View, look
from vsock_bridge.enclaves import EnclaveCollector, EnclaveState
from vsock_bridge.metrics import Metrics
from wire.report import Report

VIEW = View(
    at=datetime(2026, 11, 25, 7, 12, 5, tzinfo=UTC),
    schedules=(
        ScheduleView("benefits", datetime(2026, 11, 26, 7, tzinfo=UTC), "on", 0, 1, "2026-11-25T070000Z", 5, 3),
        ScheduleView("pensions", None, "paused", 3, 0, "", 0, 0),
    ),
    files=(
        FileView("benefits", "2026-11-25T070000Z", "8305f692d860", "answering", 41_200, 50_000, ""),
        FileView(
            "benefits",
            "2026-11-25T070000Z",
            "7d88992d7b29",
            "sealing ranges",
            12,
            64,
            "s3_unavailable, 7 tries in a row, next 07:42 UTC",
        ),
    ),
    redis=True,
    tasks=4,
    beat=True,
    queued=1_250,
    in_flight=16,
    bridges=(
        BridgeView(
            "127.0.0.1:9464",
            2,
            16,
            41_200,
            3,
            5,
            (
                EnclaveView("vsock://16:5005", 1.0, 48.0, 0.75, 16.0, 0.0, 0.0, 3.5 * 2**30),
                EnclaveView("vsock://17:5005", 0.0),
            ),
        ),
        BridgeView("10.0.0.9:9464"),
    ),
)


def drawn(view: View, width: int = 110, height: int | None = None) -> str:
    """The screen as text."""
    text = io.StringIO()
    Console(file=text, width=width, force_terminal=False).print(draw(view, height))
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_shows_queue_bridges_enclaves_schedules_and_files(width: int) -> None:
    """Each in one row within the terminal's width, what is in trouble first; a bar once was two characters wide."""
    text = drawn(VIEW, width)
    rows = text.splitlines()
    for words in (
        ("redis up", "beat up", "1,250 waiting, 16 in flight"),
        ("benefits", "on", "Thu 07:00", "2026-11-25T070000Z", "3 of 5 done"),
        ("pensions", "paused", "3"),
        ("127.0.0.1:9464", "41,200"),
        ("10.0.0.9:9464", "?"),
        ("vsock://16:5005", "ready", "48", "75%", "3.5 GiB"),
        ("vsock://17:5005", "DOWN", "?"),
        ("8305f692d860", "answering", "41,200/50,000"),
        ("7d88992d7b29  s3_unavailable, 7 tries in a row, next 07:42 UTC",),
    ):
        assert any(all(word in row for word in words) for row in rows), words
    assert max(map(len, rows)) <= width
    [row] = [row for row in rows if "41,200/50,000" in row]
    assert row.count("\N{BOX DRAWINGS HEAVY HORIZONTAL}") >= (12 if width == 80 else 40)
    assert text.index("7d88992d7b29") < text.index("8305f692d860")


def test_a_low_terminal_shows_what_is_in_trouble_and_counts_the_rest() -> None:
    """Nothing falls off its lower edge."""
    many = tuple(replace(VIEW.files[0], item=f"{number:012d}") for number in range(60))
    rows = drawn(replace(VIEW, files=(*many, VIEW.files[1])), 80, height=30).splitlines()
    assert len(rows) <= 30
    assert "7d88992d7b29" in " ".join(rows)
    shown = sum(row.startswith("0000") or "sealing ranges" in row for row in rows)
    assert rows.count(f"and {61 - shown} more files") == 1


def test_one_line_tells_the_same_in_a_pipe() -> None:
    """With what is stuck."""
    text = line(VIEW)
    assert text.startswith(
        "2026-11-25T07:12:05Z  queue 1,250 waiting 16 in flight  tasks 4  inbox 3  enclaves 1/2  files 2"
    )
    assert text.endswith("STUCK 1")


def test_what_nobody_answers_is_unknown_and_no_error() -> None:
    """No Redis, no queue, no bridge, no files."""
    text = drawn(replace(VIEW, files=(), redis=False, tasks=None, beat=None, queued=None, in_flight=None))
    assert "redis DOWN" in text
    assert "? waiting, ? in flight" in text
    assert "no file is being worked on" in text


def test_a_bridge_is_asked_for_its_metrics_and_its_enclaves(tmp_path: Path) -> None:
    """By the names that it serves them under; one that is down is unknown."""
    metrics = Metrics()
    metrics.watch("in_flight", "Messages held", lambda: 7)
    metrics.watch("enclaves", "Enclaves connected", lambda: 2)
    metrics.received(3.0, 1)
    metrics.records.labels("answered").inc(40)
    metrics.records.labels("decrypt_failed").inc(3)
    metrics.retries.inc()
    report = Report(ready=True, tokens=5, occupancy=6, sequences=3, waiting=0, restarts=0, memory=9)
    states = {
        "vsock://16:5005": EnclaveState(connected=True, report=report),
        "vsock://17:5005": EnclaveState(connected=False),
    }
    metrics.registry.register(EnclaveCollector(lambda: states))

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(generate_latest(metrics.registry))

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "inbox").mkdir()
    (tmp_path / "sealbatch.toml").write_text(
        '[nightly]\nredis_url = "unix:///nowhere"\n[[schedules]]\nname = "n"\ncron = "0 2 * * *"\ntime_zone = "UTC"\n'
        f'inbox = "{tmp_path}/inbox"\nanswers = "{tmp_path}/answers"\n'
    )
    plan = read_plan(load_config(tmp_path / "sealbatch.toml", (), {}))
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"127.0.0.1:{server.server_port}"
        view = look(Nights(plan, SystemClock()), None, (address, "127.0.0.1:1"))
        server.shutdown()
        thread.join()
    up, down = view.bridges
    assert (up.enclaves, up.in_flight, up.answered, up.failed, up.retries) == (2, 7, 40, 3, 1)
    [inside, gone] = up.inside
    assert (inside.address, inside.ready, gone) == ("vsock://16:5005", 1.0, EnclaveView("vsock://17:5005", 0.0))
    assert inside.batch_occupancy_ratio == 6 / 8
    assert (inside.memory_bytes or 0) > 0
    assert down == BridgeView("127.0.0.1:1") == ask_bridge("127.0.0.1:1")
    assert (view.redis, view.queued) == (False, None)
