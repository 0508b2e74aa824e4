"""Recent lines of our own services: those that have the form of our log, and what systemd says of the units."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

UNITS: Final = tuple(f"sealbatch-{name}" for name in ("enclave", "bridge", "drain", "worker", "beat"))
MOST: Final = 5000
LONGEST: Final = 1000
"""Characters of the longest line that is taken. None is cut: what is left of a secret is not known as one."""
PATIENCE: Final = 60.0
_OURS: Final = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?:INFO|WARNING|ERROR|CRITICAL) sealbatch\.[a-z_.]+ .*|sealbatch: .*"
)


class NoJournalError(Exception):
    """There is no journal here, or it cannot be read; the text says why."""


def of_units(units: Iterable[str], since: datetime) -> str:
    """Lines of the units since then, the oldest first, and how many of other forms were left out.

    Raises:
        NoJournalError: journalctl is missing or fails.
    """
    if (program := shutil.which("journalctl")) is None:
        raise NoJournalError("there is no journalctl on this machine")
    command = [program, *(f"--unit={unit}" for unit in units), f"--since=@{int(since.timestamp())}", f"--lines={MOST}"]
    command += ["--output=json", "--no-pager", "--quiet"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoJournalError(f"journalctl did not answer ({type(error).__name__})") from None
    if done.returncode:
        raise NoJournalError(f"journalctl ended with code {done.returncode}; root may read the journal")
    return _said(list(_entries(done.stdout.splitlines())))


def of_file(path: Path) -> str:
    """Lines of a log file of the development stack.

    Raises:
        OSError: it cannot be read.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-MOST:]
    return _said([line if _OURS.fullmatch(line) else None for line in lines])


def _entries(lines: Iterable[bytes]) -> Iterator[str | None]:
    for line in lines:
        try:
            entry = json.loads(line)
            when = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            yield None
            continue
        text = entry.get("MESSAGE")
        if not isinstance(text, str) or not (_is_systemd(entry) or _OURS.fullmatch(text)):
            yield None
            continue
        unit = entry.get("_SYSTEMD_UNIT") if not _is_systemd(entry) else "systemd"
        yield f"{when:%Y-%m-%dT%H:%M:%SZ} {unit} {text}"


def _is_systemd(entry: dict[str, Any]) -> bool:
    """Whether the first process said it: the journal itself writes down who did."""
    return entry.get("_PID") == "1" and entry.get("SYSLOG_IDENTIFIER") == "systemd"


def _said(lines: list[str | None]) -> str:
    kept = [line for line in lines if line is not None and len(line) <= LONGEST]
    kept.append(f"(lines left out, too long or of another form: {len(lines) - len(kept)})")
    return "\n".join(kept) + "\n"
