"""The index of the decisions, from their headings."""

import re
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[1] / "adr"
_HEADING: Final = re.compile(r"# (?:ADR )?0*(\d+)[.:] (.+)")
_GROUPS: Final = (
    (1, "Protocol and data"),
    (10, "Engine"),
    (20, "Trust"),
    (30, "Running: bridge, enclave, retries"),
    (40, "Nights"),
    (50, "Image and deployment"),
    (70, "For people"),
)
"""The first number of each group."""
_BEGIN: Final = """# Decisions

Why something is as it is, and what it costs. Each is one page: context, decision, consequences. A decision is never rewritten: a new one names
the one that it replaces. To add one, take the next free number of its group below, write the page as its neighbours are written, and type
`make docs-reference`, which makes this index.
"""


def adr_page() -> str:
    """Every decision by number, in groups.

    Raises:
        ValueError: a file's name and heading have different numbers, or a number is taken twice.
    """
    found: dict[int, tuple[str, str]] = {}
    for path in sorted(FOLDER.glob("[0-9]*.md")):
        heading = _HEADING.match(path.read_text(encoding="utf-8"))
        if heading is None or int(heading[1]) != int(path.name[:4]):
            raise ValueError(f"{path.name}: its first line is to be `# {int(path.name[:4])}. TITLE`")
        if int(heading[1]) in found:
            raise ValueError(f"{path.name}: the number is taken by {found[int(heading[1])][0]}")
        found[int(heading[1])] = path.name, heading[2].strip()
    parts = [_BEGIN]
    for (first, title), (following, _) in zip(_GROUPS, (*_GROUPS[1:], (10_000, "")), strict=True):
        lines = [
            f"- {number}. [{text}]({name})" for number, (name, text) in found.items() if first <= number < following
        ]
        if lines:
            parts.append("\n".join([f"## {title}", "", *lines, ""]))
    return "\n".join(parts)
