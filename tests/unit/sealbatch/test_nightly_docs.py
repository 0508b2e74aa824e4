"""The table of faults names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_each_fault_of_a_night_names_its_tests() -> None:
    """At least one a line, by the name of a function."""
    page = (ROOT / "docs/explanation/nightly.md").read_text(encoding="utf-8")
    text = page.partition("## What goes wrong")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def test_(\w+)\(", tests))
    for fault, _, named in rows:
        names = re.findall(r"`(\w+)`", named)
        assert names, fault
        assert set(names) <= there, fault
