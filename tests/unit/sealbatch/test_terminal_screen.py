"""What goes where: data to standard output, talk to standard error."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from sealbatch.progress import Progress
from sealbatch.terminal.screen import Screen, printable
from sealbatch.terminal.tables import make_table, print_rows


def test_rows_in_a_pipe_are_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a row, whole, and nothing else on standard output."""
    Screen().rows(("a",), [{"a": 1, "b": "ü"}, {"a": 2, "b": None}])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"a": 1, "b": "ü"},
        {"a": 2, "b": None},
    ]


def test_quiet_silences_talk_and_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors are always said."""
    screen = Screen(quiet=True)
    screen.say("talk")
    screen.next_step("verb")
    screen.complain("error")
    with screen.progress() as tell:
        tell(Progress("records", 1, 1))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "sealbatch: error\n"


def test_the_next_step_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, and not where a program asked for JSON."""
    Screen().next_step("sealbatch wait sb1-...")
    Screen(as_json=True).next_step("sealbatch wait sb1-...")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "next: sealbatch wait sb1-...\n"


def test_progress_without_a_terminal_is_a_line_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a line for each step: a log stays readable."""
    with Screen().progress() as tell:
        for done in range(101):
            tell(Progress("answered", done, 100))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("answered: 100 of 100, ")


def test_a_job_and_its_time_stay_on_one_line_in_80_columns() -> None:
    """A job id in two pieces cannot be copied; what people named it may be folded."""
    row = {"job": "pf2xlh5765fjmql7", "name": "open-enrolment", "state": "completed", "created": "2026-11-27 03:19"}
    counts = {"answered": 66, "failed": 0, "total": 66}
    file = io.StringIO()
    columns = ("job", "name", "state", "answered", "failed", "total", "created")
    print_rows(Console(file=file, width=80), columns, [row | counts])
    assert row["job"] in file.getvalue()
    assert row["created"] in file.getvalue()


def test_a_table_shows_content_as_text() -> None:
    """Square brackets are no markup, and control codes have been taken out by whoever shows content."""
    file = io.StringIO()
    Console(file=file, width=80).print(make_table(("answer",), [{"answer": "[red]30[/red] days"}]))
    assert "[red]30[/red] days" in file.getvalue()


def test_what_would_act_on_a_terminal_is_replaced() -> None:
    """Escape sequences, bells and right-to-left overrides in an answer do nothing."""
    assert printable("a\x1b[2Jb\x07c\u202ed\n\te") == "a\ufffd[2Jb\ufffdc\ufffdd\n\te"


def test_what_a_host_wrote_does_not_act_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich passes escape sequences on: a table's cell, talk and errors once did too, against their word."""
    hostile = "\x1b]0;owned\x07\x1b[31mred\u202e"
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=60).print(make_table(("why",), [{"why": hostile}]))
    Screen().say(hostile)
    Screen().complain(hostile)
    said = capsys.readouterr().err
    assert "\x1b]" not in out.getvalue() + said
    assert "\x1b[31m" not in out.getvalue() + said
    assert "\u202e" not in out.getvalue() + said
    assert said.count("]0;owned") == 2


ARN = "arn:aws:sts::123456789012:assumed-role/sealbatch-ProducerRole-MFR6P5P0ZBC3/producer"
FOUND = (
    {"check": "region", "status": "ok", "found": "eu-central-1", "mend": ""},
    {"check": "credentials producer", "status": "ok", "found": ARN, "mend": ""},
    {"check": "bucket TLS", "status": "warning", "found": "off", "mend": "deny s3:* without aws:SecureTransport"},
)


@pytest.mark.parametrize("width", [40, 80, 100, 120, 160, 300])
def test_no_word_of_a_table_is_broken(width: int) -> None:
    """Nor is a date; `doctor` once folded names of AWS in their middle, from which nobody could copy them."""
    file = io.StringIO()
    dated = [row | {"when": "2026-11-27 05:59"} for row in FOUND]
    print_rows(Console(file=file, width=width), ("check", "status", "when", "found", "mend"), dated)
    text = file.getvalue()
    assert text.count(ARN) == 1
    assert text.count("2026-11-27 05:59") == len(FOUND)
    assert text.count("aws:SecureTransport") == 1
    too_long = [line for line in text.splitlines() if len(line.rstrip()) > width and line.strip() != ARN]
    assert not too_long or width == 40


@pytest.mark.parametrize("width", [4, 20, 40, 60, 80, 100, 200])
def test_no_column_is_lost_where_a_table_has_no_room(width: int) -> None:
    """A dead letter's row on any terminal: broken or below, and every character of every cell."""
    columns = ("id", "reason", "job", "chunk", "bytes", "sent")
    row = (
        "b1f4c43c-8bb2-4d7e-b710-0d71bb0661bb",
        "too_many_receives",
        "日本語のとても長い名前",
        3,
        24_012,
        "2026-11-26 05:00",
    )
    file = io.StringIO()
    print_rows(Console(file=file, width=width), columns, [dict(zip(columns, row, strict=True)), {"id": "x"}])
    shown = Counter(file.getvalue())
    assert not Counter("".join(map(str, (*columns, *row))).replace(" ", "")) - shown


def test_what_is_too_long_for_a_table_stands_below_its_row() -> None:
    """Beside the row what has room there, and named what follows it."""
    file = io.StringIO()
    print_rows(Console(file=file, width=80), ("check", "status", "found", "mend"), FOUND)
    assert [line.rstrip() for line in file.getvalue().splitlines()] == [
        "check                 status   found",
        "region                ok       eu-central-1",
        "credentials producer  ok",
        f"    {ARN}",
        "bucket TLS            warning  off",
        "    mend: deny s3:* without aws:SecureTransport",
    ]


BROKEN = b'{"custom_id": "a", "question": "How long?"}\nnot json\n'


def typed_in_a_terminal(environment: dict[str, str]) -> bytes:
    """What a terminal gets of a verb with progress, a table, an error and a next step."""
    outside, inside = pty.openpty()
    with os.fdopen(outside, "rb", buffering=0) as terminal:
        subprocess.run(
            [sys.executable, "-m", "sealbatch", "validate", "-"],
            input=BROKEN,
            stdout=inside,
            stderr=inside,
            env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environment},
            check=False,
            timeout=60,
        )
        os.close(inside)
        said = b""
        try:
            while piece := terminal.read(65_536):
                said += piece
        except OSError:  # the other end is closed, and all is read
            pass
    assert b"invalid_json_line" in said
    assert b"1 invalid, 1 valid" in said
    return said


def test_a_dumb_terminal_gets_no_escape_codes() -> None:
    """Whatever is drawn elsewhere."""
    assert b"\x1b" not in typed_in_a_terminal({"TERM": "dumb"})


def test_no_color_is_no_look_at_all() -> None:
    """Neither colours nor bold; bars still move, for which the cursor moves."""
    plain, coloured = (typed_in_a_terminal(more) for more in ({"NO_COLOR": "1"}, {}))
    assert b"\x1b[1;31m" in coloured
    assert not re.findall(rb"\x1b\[[0-9;]*m", plain)


@pytest.mark.parametrize("verb", ["validate -", "list", "plan --questions 9 --by 06:00", "image measure x", "rum"])
def test_a_pipe_gets_no_escape_codes(verb: str, tmp_path: Path) -> None:
    """Whatever the terminal behind it can do: errors, tables, progress and what comes next."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm-256color"}
    words = [sys.executable, "-m", "sealbatch", *verb.split()]
    done = subprocess.run(words, input=BROKEN, capture_output=True, env=environment, check=False, timeout=60)
    assert done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
