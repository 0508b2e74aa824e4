"""The morning report: one HTML page a run, with everything inside it and no script.

It holds counts, ids, times and names of files, and no content of any question or answer.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from sealbatch.nightly.chart import chart
from sealbatch.nightly.summary import OUTCOMES, FileSummary, RunSummary, counted

SLOWEST: Final = 5
MOST_PROBLEMS: Final = 10
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""The page may load nothing from anywhere, whatever a file's name would make of it."""


def render(summary: RunSummary, time_zone: str) -> str:
    """The page for a run, with times in the schedule's zone."""
    zone = ZoneInfo(time_zone)
    style = files("sealbatch.nightly").joinpath("style.css").read_text(encoding="utf-8")
    title = f"{summary.schedule}, {_day(summary.firing, zone)}"
    body = [
        f"<h1>{escape(summary.schedule)}</h1>",
        _subtitle(summary, zone),
        _verdict(summary),
        _cards(summary),
        _section("Throughput over the night", _throughput(summary, zone)),
        _section("Files", _files(summary)),
        _section("Invalid lines", _problems(summary)),
        _section("Errors of records", _errors(summary)),
        _section("Slowest chunks", _slowest(summary)),
        _section("Retries", _retries(summary)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer">\n<title>{escape(title)}</title>\n'
        f"<style>\n{style}{_foot(title)}</style>\n</head>\n"
        f"<body>\n{chr(10).join(part for part in body if part)}\n</body>\n</html>\n"
    )


def _foot(title: str) -> str:
    """What stands at the foot of each printed page beside its number; nothing in it can end the style."""
    words = re.sub(r"[^\w ,:.-]", "", title)
    return f'@page {{ @bottom-left {{ content: "{words}"; font: 8pt sans-serif; color: #444; }} }}\n'


def _subtitle(summary: RunSummary, zone: ZoneInfo) -> str:
    night = f"The night of {_day(summary.firing, zone)}, {escape(str(zone))}."
    return f'<p class="soft">{night} Run <code>{summary.run}</code>, report of {_time(summary.now, zone)}.</p>'


def _verdict(summary: RunSummary) -> str:
    found = summary.needs()
    if not summary.files:
        text = "Nothing lay in the inbox."
        return f'<div class="verdict{" bad" if found else ""}"><strong>{text}</strong>{_list(found)}</div>'
    if not summary.finished():
        text = "Not everything is finished yet."
    elif found:
        text = "Finished, and this needs a person:"
    else:
        text = "All went well. Nothing needs a person."
    bad = " bad" if found or not summary.finished() else ""
    return f'<div class="verdict{bad}"><strong>{text}</strong>{_list(found)}</div>'


def _cards(summary: RunSummary) -> str:
    counts = summary.counts()
    shown = [("files", len(summary.files)), ("records", counts["records"])]
    shown += [(name, counts[name]) for name in OUTCOMES if counts[name] or name == "succeeded"]
    shown += [("tokens read", counts["prompt_tokens"]), ("tokens written", counts["completion_tokens"])]
    cards = "".join(f'<div class="card"><b>{number:,}</b>{name}</div>' for name, number in shown)
    return f'<div class="cards">{cards}</div>'


def _throughput(summary: RunSummary, zone: ZoneInfo) -> str:
    minutes: Counter[int] = Counter()
    for file in summary.files:
        for minute, records in (file.delivered or {}).get("timeline", {}).get("answered", ()):
            minutes[minute] += records
    if not minutes:
        return ""
    span = max(minutes) - min(minutes) + 1
    note = f'<p class="soft">Records answered a minute; {minutes.total() / span:,.1f} on average over {span:,} min.</p>'
    return chart(sorted(minutes.items()), zone) + note


def _files(summary: RunSummary) -> str:
    rows = []
    for file in summary.files:
        counts = file.delivered or {}
        rows.append(
            (
                escape(str(file.claim["name"])),
                f'<span class="{file.state}">{file.state}</span>',
                f"<code>{file.job}</code>" if file.job else "",
                _number(counts.get("records", (file.ticket or {}).get("records"))),
                _number(counts.get("succeeded")),
                _number(_failed(file)),
                _number(counts.get("completion_tokens")),
            )
        )
    return _table(("file", "state", "job", "records", "succeeded", "failed or cut", "tokens written"), rows, numbers=3)


def _problems(summary: RunSummary) -> str:
    rows = []
    for file in summary.files:
        problems = (file.refused or {}).get("problems", [])
        for problem in problems[:MOST_PROBLEMS]:
            where = escape(str(problem["param"] or ""))
            rows.append((escape(str(file.claim["name"])), str(problem["line"]), escape(problem["code"]), where))
    return _table(("file", "line", "fault", "field"), rows)


def _errors(summary: RunSummary) -> str:
    codes: Counter[str] = Counter()
    for file in summary.files:
        for code, count in (file.delivered or {}).get("error_codes", ()):
            codes[code] += count
    return _table(
        ("error", "records"), [(escape(code), _number(count)) for code, count in codes.most_common()], numbers=1
    )


def _slowest(summary: RunSummary) -> str:
    chunks = sorted(
        (
            (float(seconds), file.job, int(chunk))
            for file in summary.files
            for chunk, seconds in (file.delivered or {}).get("timeline", {}).get("slowest", ())
        ),
        reverse=True,
    )[:SLOWEST]
    rows = [(f"<code>{job}</code>", _number(chunk), f"{seconds:,.1f} s") for seconds, job, chunk in chunks]
    return _table(("job", "chunk", "from stored to answered"), rows, numbers=1)


def _retries(summary: RunSummary) -> str:
    steps = sum(file.retries for file in summary.files)
    parts = sum((file.delivered or {}).get("timeline", {}).get("in_parts", 0) for file in summary.files)
    if not steps and not parts:
        return "<p>None.</p>" if summary.files else ""
    return f"<p>Tried again: {counted(steps, 'step')}. Answered in more than one part: {counted(parts, 'chunk')}.</p>"


def _failed(file: FileSummary) -> int | None:
    counts = file.delivered
    return None if counts is None else sum(counts[name] for name in OUTCOMES if name != "succeeded")


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>\n{body}</section>" if body else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int | None = None) -> str:
    """A table whose cells are HTML; columns from `numbers` on are numbers. On a telephone its rows are cards."""
    if not rows:
        return ""
    classes = ["" if numbers is None or at < numbers else ' class="n"' for at in range(len(columns))]
    head = "".join(f"<th{kind}>{column}</th>" for column, kind in zip(columns, classes, strict=True))
    lines = [
        "<tr>"
        + "".join(
            f'<td{kind} data-name="{column}">{cell}</td>'
            for column, kind, cell in zip(columns, classes, row, strict=True)
        )
        + "</tr>"
        for row in rows
    ]
    return f'<table class="stack"><thead><tr>{head}</tr></thead><tbody>\n{chr(10).join(lines)}\n</tbody></table>'


def _list(texts: Iterable[str]) -> str:
    entries = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{entries}</ul>" if entries else ""


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _day(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%A %-d %B %Y, %H:%M")


def _time(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%-d %B, %H:%M")
