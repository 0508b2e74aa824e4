"""`bench/results/engine.json`: what a run of the bench leaves behind, and what its plot is drawn from."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.peak import best
from bench.roofline import ideal_seconds
from bench.schedule import Cell
from bench.table import Table
from bench.workload import WORKLOADS

FORMAT: Final = 1
OURS: Final = Cell("sealbatch_int8", "first", 1)


def report(
    table: Table, peaks: Mapping[str, float], config: Mapping[str, Any], machine: Mapping[str, Any]
) -> dict[str, Any]:
    """All figures. `peaks` is empty where they could not be measured; then there is no roofline."""
    ideal = _ideal(peaks, config)
    seconds = table.median(OURS, lambda run: run.seconds)
    load = table.median(OURS, lambda run: run.load_s)
    memory = table.median(OURS, lambda run: run.rss_mb)
    return {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "ratios": table.ratios(1),
        "ratios_two_cores": table.ratios(2),
        "roofline_fraction": float(f"{ideal / seconds:.3g}") if ideal and seconds else None,
        "memory_mb": round(memory) if memory else None,
        "load_s": round(load, 2) if load else None,
        "peaks_gops": dict(peaks),
        "ideal_tokens_per_second": round(WORKLOADS["first"].answers.total / ideal, 1) if ideal else None,
        "rows": table.rows(),
        "missing": table.gaps(),
        "workloads": {name: workload.describe() for name, workload in WORKLOADS.items()},
        "machine": machine,
        "versions": _versions(table),
    }


def save(result: Mapping[str, Any], path: Path) -> None:
    """Write the results for people and programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def _ideal(peaks: Mapping[str, float], config: Mapping[str, Any]) -> float | None:
    if not peaks:
        return None
    first = WORKLOADS["first"]
    return ideal_seconds(first.requests(), first.prefix, config, int8=best(peaks, "int8"), fp32=best(peaks, "fp32"))


def _versions(table: Table) -> dict[str, dict[str, str]]:
    return {cell.contender: runs[-1].versions for cell, runs in table.runs.items() if runs}
