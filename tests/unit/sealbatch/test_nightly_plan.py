"""Schedules as they are written: what is read, what is refused, and on which line it stands."""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sealbatch.config import ConfigError, load_config
from sealbatch.nightly.lint import lint
from sealbatch.nightly.plan import Plan, PlanError, read_plan
from sealbatch.nightly.schedule import NightlySettings
from sealbatch.nightly.toml_lines import TomlLines
from sealbatch.times import JobTimes, parse_span

GOOD = """tenant = "benefits"

[nightly]
redis_url = "unix:///nowhere/redis.sock"
range_size = "64 MB"

[[schedules]]
name = "benefits"
cron = "30 1 * * *"
time_zone = "America/New_York"
inbox = "{inbox}"
answers = "{answers}"
deadline = "6h"
parameters = {{max_tokens = 64}}
tell = [{{command = ["true"]}}]
"""
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def plan_of(folder: Path, text: str) -> Plan:
    """The plan in a file."""
    path = folder / "sealbatch.toml"
    path.write_text(text)
    return read_plan(load_config(path, (), {}))


def good(folder: Path) -> str:
    """A schedule whose folders exist."""
    for name in ("inbox", "answers"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    return GOOD.format(inbox=folder / "inbox", answers=folder / "answers")


def test_a_schedule_is_read_with_its_units(tmp_path: Path) -> None:
    """Durations, sizes and parameters are what they say."""
    plan = plan_of(tmp_path, good(tmp_path))
    schedule = plan.schedule("benefits")
    assert schedule.deadline is not None
    assert (schedule.deadline.total_seconds(), schedule.settle.total_seconds()) == (6 * 3600, 60)
    assert plan.settings.range_size == 64_000_000
    assert schedule.parameters.params().max_tokens == 64
    with pytest.raises(ConfigError, match=r"no schedule pensions; there is benefits"):
        plan.schedule("pensions")


@pytest.mark.parametrize("text", ["90s", "15m", "6 h", "2d", "0d", "90", "1w", "-1h"])
def test_a_span_is_the_same_in_a_file_and_on_the_command_line(text: str) -> None:
    """`90s` was once one only in a file."""
    try:
        span = parse_span(text)
    except ValueError as error:
        with pytest.raises(ValidationError, match=re.escape(str(error))):
            NightlySettings(tick=text)
    else:
        assert NightlySettings(tick=text).tick == span
        assert JobTimes(window=text).resolve(0) == (span.total_seconds() * 1000, None)


@pytest.mark.parametrize(
    ("before", "after", "line", "message"),
    [
        ('cron = "30 1 * * *"', 'cron = "30 25 * * *"', 9, "cron: not a cron expression: bad hour"),
        ("America/New_York", "America/Nowhere", 10, "time_zone: must be a time zone"),
        ('deadline = "6h"', 'deadline = "soon"', 13, "deadline: must be a number and a unit"),
        ('deadline = "6h"', 'dead_line = "6h"', 13, "dead_line: no such setting"),
        ('name = "benefits"', 'name = "Benefits!"', 8, "name: does not look as it must"),
        ("max_tokens = 64", "max_tokens = 0", 14, "max_tokens"),
        ('command = ["true"]', 'command = ["true"], webhook = "https://x"', 15, "exactly one of"),
        ('command = ["true"]', 'webhook = "ftp://x"', 15, "must be an http or https URL"),
        ('command = ["true"]', 'sns_topic = "arn:aws:s3:x"', 15, "does not look as it must"),
        ('redis_url = "unix', 'redis_url = "http', 4, "redis_url: does not look as it must"),
        ('cron = "30 1 * * *"\n', "", 7, "cron: is missing"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, before: str, after: str, line: int, message: str) -> None:
    """One fault, one finding, on the line that one would change."""
    text = good(tmp_path)
    assert before in text
    with pytest.raises(PlanError) as caught:
        plan_of(tmp_path, text.replace(before, after))
    [finding] = caught.value.findings
    assert finding.line == line
    assert message in finding.message
    assert f"sealbatch.toml:{line}:" in str(caught.value)


def test_all_faults_are_found_at_once_and_none_of_them_stops_another_verb(tmp_path: Path) -> None:
    """A broken schedule is no reason not to run a job by hand."""
    text = good(tmp_path).replace('"30 1 * * *"', '"nightly"').replace('"6h"', '"soon"')
    with pytest.raises(PlanError) as caught:
        plan_of(tmp_path, text)
    assert [finding.line for finding in caught.value.findings] == [9, 13]
    assert load_config(tmp_path / "sealbatch.toml", (), {}).resources.tenant == "benefits"


def test_two_schedules_of_one_name_or_one_inbox_are_a_fault(tmp_path: Path) -> None:
    """Which of them gets a file would be chance."""
    schedule = good(tmp_path)[good(tmp_path).index("[[schedules]]") :]
    with pytest.raises(PlanError, match="name: stands twice"):
        plan_of(tmp_path, good(tmp_path) + schedule)
    plan = plan_of(tmp_path, good(tmp_path) + schedule.replace('"benefits"', '"pensions"'))
    faults = [(finding.line, finding.schedule) for finding in lint(plan, NOW) if "is also the inbox" in finding.message]
    assert faults == [(11, "benefits"), (20, "pensions")]


def test_what_is_doubtful_is_told_and_is_no_fault(tmp_path: Path) -> None:
    """Open folders, a deadline beyond the next firing, a night with a changed clock, an endpoint without TLS."""
    text = good(tmp_path).replace('"6h"', '"30h"').replace('command = ["true"]', 'webhook = "http://example.org/x"')
    (tmp_path / "inbox").chmod(0o755)
    findings = lint(plan_of(tmp_path, text), NOW)
    assert {finding.level for finding in findings} == {"warning"}
    told = {(finding.line, word) for finding in findings for word in finding.message.split()}
    for line, word in ((4, "redis:"), (9, "2027-11-07;"), (11, "open"), (13, "overlap"), (15, "TLS;")):
        assert (line, word) in told, findings


def test_folders_that_are_missing_or_within_each_other_are_faults(tmp_path: Path) -> None:
    """Answers in the inbox would be taken for questions."""
    inside = good(tmp_path).replace(f'answers = "{tmp_path}/answers"', f'answers = "{tmp_path}/inbox/answers"')
    messages = [finding.message for finding in lint(plan_of(tmp_path, inside), NOW) if finding.level == "error"]
    assert [message.split(":")[0] for message in messages] == ["answers", "answers"]
    assert any("would be taken for questions" in message for message in messages)


keys = st.sampled_from(["a", "b", "c-d", "e_f"])
values = st.sampled_from(["1", '"x = y"', "[1, 2]", "{g = 1}", "'[h]'", '"""one line"""'])
pairs = st.dictionaries(keys, values, max_size=4)


@given(top=pairs, table=pairs, elements=st.lists(pairs, max_size=4), table_first=st.booleans())
def test_every_key_of_every_table_is_found_on_its_line(
    top: dict[str, str], table: dict[str, str], elements: list[dict[str, str]], *, table_first: bool
) -> None:
    """Whatever `tomllib` reads, each of its keys has the line on which it was written."""
    rest: list[tuple[str, tuple[str | int, ...], dict[str, str]]]
    rest = [("[[s]]", ("s", at), element) for at, element in enumerate(elements)]
    rest.insert(0 if table_first else len(rest), ("[t]  # [no]", ("t",), table))
    lines: list[str] = []
    wanted: dict[tuple[str | int, ...], int] = {}
    for header, place, found in [("# c = 1", (), top), *rest]:
        lines += [header, ""]
        for key, value in found.items():
            lines.append(f"  {key} = {value}  # note")
            wanted[*place, key] = len(lines)
    text = "\n".join(lines)
    tomllib.loads(text)
    places = TomlLines(text)
    assert {place: places.line(place) for place in wanted} == wanted
