"""A bar chart of records answered over the night, as SVG inside the page."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

WIDTH: Final = 720
HEIGHT: Final = 180
LEFT: Final = 52
BOTTOM: Final = 24
TOP: Final = 18
WIDEST: Final = 40
MOST_BARS: Final = 60
STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440)
"""Minutes that a bar may stand for."""


def _bars(minutes: Sequence[tuple[int, int]]) -> tuple[int, list[tuple[int, int]]]:
    """Minutes a bar, and each bar's first minute with its records; bars without records are there too."""
    first, last = min(minute for minute, _ in minutes), max(minute for minute, _ in minutes)
    step = next((step for step in STEPS if last // step - first // step < MOST_BARS), STEPS[-1])
    found = {bar * step: 0 for bar in range(first // step, last // step + 1)}
    for minute, records in minutes:
        found[minute // step * step] += records
    return step, sorted(found.items())


def chart(minutes: Sequence[tuple[int, int]], zone: ZoneInfo) -> str:
    """The chart; records a minute against local time, of at least one minute."""
    step, heights = _bars(minutes)
    top = max(count for _, count in heights) / step
    slot = min((WIDTH - LEFT) / len(heights), WIDEST)
    plot = HEIGHT - TOP - BOTTOM
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Records answered a minute over the night">',
        *_grid(top, plot),
    ]
    for at, (minute, count) in enumerate(heights):
        tall = plot * count / step / top
        title = f"{_clock(minute, zone)}: {count:,} records in {step} min"
        parts.append(
            f'<rect class="bar" x="{LEFT + at * slot + 0.5:.1f}" y="{TOP + plot - tall:.1f}" '
            f'width="{max(slot - 1, 0.5):.1f}" height="{tall:.1f}"><title>{title}</title></rect>'
        )
    every = max(1, round(90 / slot))
    parts += [
        f'<text x="{LEFT + at * slot:.1f}" y="{HEIGHT - 6}">{_clock(minute, zone)}</text>'
        for at, (minute, _) in enumerate(heights)
        if at % every == 0
    ]
    return "".join([*parts, "</svg>"])


def _grid(top: float, plot: int) -> list[str]:
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = TOP + plot * (1 - share)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="axis" x="{LEFT - 6}" y="{y + 4:.1f}">{_number(top * share)}</text>')
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _clock(minute: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).astimezone(zone).strftime("%H:%M")
