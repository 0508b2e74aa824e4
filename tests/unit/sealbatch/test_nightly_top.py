"""What `sealbatch top` draws, of a night that goes on and of one where nobody answers."""

import io
import threading
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from prometheus_client import generate_latest
from rich.console import Console

from sealbatch.config import load_config
from sealbatch.nightly.assembly import Nights
from sealbatch.nightly.clock import SystemClock
from sealbatch.nightly.plan import read_plan
from sealbatch.nightly.view import BridgeView, FileView, ScheduleView, View, look
from sealbatch.verbs.top import draw, line
from vsock_bridge.metrics import Metrics

VIEW = View(
    at=datetime(2026, 11, 25, 7, 12, 5, tzinfo=UTC),
    schedules=(
        ScheduleView("benefits", datetime(2026, 11, 26, 7, tzinfo=UTC), "on", 0, 1, "2026-11-25T070000Z"),
        ScheduleView("pensions", None, "paused", 3, 0, ""),
    ),
    files=(
        FileView("benefits", "2026-11-25T070000Z", "8305f692d860", "answering", 41_200, 50_000, ""),
        FileView("benefits", "2026-11-25T070000Z", "7d88992d7b29", "ranges uploaded", 12, 64, "s3_unavailable (7 x)"),
    ),
    redis=True,
    tasks=4,
    beat=True,
    queued=1_250,
    in_flight=16,
    bridges=(BridgeView("127.0.0.1:9464", 2, 16, 41_200, 3, 5), BridgeView("10.0.0.9:9464", *[None] * 5)),
)


def drawn(view: View, width: int = 110) -> str:
    """The screen as text."""
    text = io.StringIO()
    Console(file=text, width=width, force_terminal=False).print(draw(view))
    return text.getvalue()


def test_the_screen_shows_queue_bridges_schedules_and_files() -> None:
    """All of them, within the terminal's width."""
    text = drawn(VIEW)
    for words in (
        "1,250 waiting, 16 in flight",
        "41,200/50,000",
        "12/64",
        "paused",
        "Thu 07:00",
        "s3_unavailable (7 x)",
    ):
        assert words in text, words
    assert max(len(row) for row in text.splitlines()) <= 110
    assert "127.0.0.1:9464" in drawn(VIEW, 80)


def test_one_line_tells_the_same_in_a_pipe() -> None:
    """With what is stuck."""
    text = line(VIEW)
    assert text.startswith("07:12:05  queue 1,250 waiting 16 in flight  tasks 4  inbox 3  files 2")
    assert text.endswith("STUCK 1")


def test_what_nobody_answers_is_unknown_and_no_error() -> None:
    """No Redis, no queue, no bridge, no files."""
    text = drawn(replace(VIEW, files=(), redis=False, tasks=None, beat=None, queued=None, in_flight=None))
    assert "redis DOWN" in text
    assert "? waiting, ? in flight" in text
    assert "no file is being worked on" in text


def test_a_bridge_is_asked_for_its_metrics(tmp_path: Path) -> None:
    """By the names that it serves them under; one that is down is unknown."""
    metrics = Metrics()
    metrics.watch("in_flight", "Messages held", lambda: 7)
    metrics.watch("enclaves", "Enclaves connected", lambda: 2)
    metrics.answered(40)
    metrics.failed("decrypt_failed", 3)
    metrics.retried()

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
    assert view.bridges == (BridgeView(address, 2, 7, 40, 3, 1), BridgeView("127.0.0.1:1", *[None] * 5))
    assert (view.redis, view.queued) == (False, None)
