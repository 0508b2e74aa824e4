"""What has been measured so far: runs by cell, medians, and what is missing and why."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.contenders import CONTENDERS, RATIOS
from bench.pinned import Run
from bench.schedule import Cell


@dataclass(slots=True)
class Table:
    """Runs and refusals. Every cell that was asked for is in one of the two, or in both when a later run failed."""

    runs: dict[Cell, list[Run]] = field(default_factory=lambda: defaultdict(list))
    requests: dict[Cell, int] = field(default_factory=dict)
    missing: dict[Cell, str] = field(default_factory=dict)
    agreement: dict[Cell, str | None] = field(default_factory=dict)

    def median(self, cell: Cell, of: Callable[[Run], float]) -> float | None:
        """The median over a cell's runs; None if it has none."""
        return statistics.median(map(of, self.runs[cell])) if self.runs.get(cell) else None

    def rate(self, contender: str, workload: str = "first", cores: int = 1) -> float | None:
        """Median answer tokens a second."""
        return self.median(Cell(contender, workload, cores), lambda run: run.rate)

    def ratios(self, cores: int) -> dict[str, float | None]:
        """Ours in int8 over each peer, on the first workload; None where either is missing."""
        ours = self.rate("sealbatch_int8", cores=cores)
        rates = {peer: self.rate(peer, cores=cores) for peer in RATIOS}
        return {peer: round(ours / rate, 3) if ours and rate else None for peer, rate in rates.items()}

    def rows(self) -> list[dict[str, Any]]:
        """A line for each cell that ran, by workload, cores and speed."""
        lines = [self._row(cell) for cell in self.runs if self.runs[cell]]
        return sorted(lines, key=lambda line: (line["workload"], line["cores"], -line["tokens_per_second"]))

    def gaps(self) -> list[dict[str, Any]]:
        """A line for each cell without a run, with the reason."""
        return [
            {"contender": cell.contender, "workload": cell.workload, "cores": cell.cores, "reason": reason}
            for cell, reason in self.missing.items()
            if not self.runs.get(cell)
        ]

    def _row(self, cell: Cell) -> dict[str, Any]:
        runs = self.runs[cell]
        counted = [run.instructions / run.tokens for run in runs if run.instructions is not None]
        return {
            "contender": cell.contender,
            "title": CONTENDERS[cell.contender].title,
            "workload": cell.workload,
            "cores": cell.cores,
            "requests": self.requests[cell],
            "runs": [round(run.rate, 2) for run in runs],
            "tokens_per_second": round(statistics.median(run.rate for run in runs), 2),
            "tokens_per_cpu_second": round(statistics.median(run.tokens / run.cpu_s for run in runs), 2),
            "busy": round(statistics.median(run.cpu_s / run.seconds / cell.cores for run in runs), 3),
            "load_s": round(statistics.median(run.load_s for run in runs), 2),
            "rss_mb": round(statistics.median(run.rss_mb for run in runs)),
            "pss_mb": round(statistics.median(run.pss_mb for run in runs)),
            "instructions_per_token": round(statistics.median(counted)) if counted else None,
            "agreement": self.agreement.get(cell),
        }
