"""The picture of a run: who answers how many tokens a second on one core, and where this core's limit is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.contenders import CONTENDERS

OURS: Final = "#1f6f8b"
PEERS: Final = "#b8bfc6"
LIMIT: Final = "#c0392b"
TEXT: Final = "#30363d"


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw what `bench.report.report` made, first workload, as SVG or PNG by the suffix of `path`.

    Raises:
        ValueError: nothing ran on the first workload.
    """
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    rows = [row for row in result["rows"] if row["workload"] == "first"]
    panels = [(count, _bars(rows, result["missing"], count)) for count in (1, 2)]
    panels = [(count, bars) for count, bars in panels if any(rate for _, rate, _ in bars)]
    if not panels:
        raise ValueError("nothing ran on the first workload")
    # The same result gives the same file.
    style = {"svg.hashsalt": "sealbatch", "svg.fonttype": "none", "font.size": 9, "text.color": TEXT}
    with mpl.rc_context(style):
        tallest = max(len(bars) for _, bars in panels)
        figure, axes = plt.subplots(
            1, len(panels), figsize=(5.2 * len(panels), 0.9 + 0.36 * tallest), squeeze=False, layout="constrained"
        )
        for axis, (count, bars) in zip(axes[0], panels, strict=True):
            limit = result["ideal_tokens_per_second"]
            _panel(axis, bars, count, limit * count if limit else None)
        figure.suptitle(
            "Answer tokens a second: 64 requests, random weights in bloom-560m's configuration", fontsize=10
        )
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, facecolor="white", dpi=150)
        plt.close(figure)


def _bars(rows: list[dict[str, Any]], missing: list[dict[str, Any]], count: int) -> list[tuple[str, float, bool]]:
    """Title, rate and whether it is ours, fastest first; what is missing comes last with a rate of 0."""
    ran = [
        (row["title"], row["tokens_per_second"], CONTENDERS[row["contender"]].own)
        for row in rows
        if row["cores"] == count
    ]
    absent = [
        (CONTENDERS[gap["contender"]].title, 0.0, CONTENDERS[gap["contender"]].own)
        for gap in missing
        if gap["workload"] == "first" and gap["cores"] == count
    ]
    return [*sorted(ran, key=lambda bar: -bar[1]), *absent]


def _panel(axis: Any, bars: list[tuple[str, float, bool]], count: int, limit: float | None) -> None:
    places = range(len(bars))
    axis.barh(places, [rate for _, rate, _ in bars], color=[OURS if own else PEERS for _, _, own in bars], height=0.68)
    widest = max(limit or 0, *(rate for _, rate, _ in bars))
    for place, (_, rate, _) in zip(places, bars, strict=True):
        axis.text(rate + widest * 0.012, place, f"{rate:.1f}" if rate else "missing", va="center")
    if limit:
        axis.axvline(limit, color=LIMIT, linewidth=1, linestyle="--")
        axis.text(limit, len(bars) - 0.4, f"int8 instruction peak {limit:.0f} ", color=LIMIT, ha="right", va="bottom")
    axis.set_yticks(places, [title for title, _, _ in bars])
    axis.set_title("one core" if count == 1 else "two cores", loc="left", fontsize=9)
    axis.set_xlim(0, widest * 1.12)
    axis.invert_yaxis()
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
