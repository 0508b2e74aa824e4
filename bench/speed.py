"""The bench of the engine: installs what it compares with, runs round after round, and keeps what it measured."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.agreement import Agreement
from bench.contenders import CONTENDERS, Contender
from bench.environments import MissingError, TooSlowError, interpreter
from bench.export import export
from bench.machine import describe_machine
from bench.peak import measure_peaks
from bench.pinned import Job, Run, run
from bench.report import report
from bench.schedule import Cell, cells
from bench.table import Table
from bench.workload import VOCABULARY, WORKLOADS, Request

REFERENCE: Final = "transformers_one_by_one_fp32"
LONGEST: Final = 300.0
"""Seconds that one run may take under a time budget."""
LONGEST_FULL: Final = 7200.0
PART: Final = {"first": 1, "answers": 4, "prompts": 8, "many": 16}
"""Under a time budget, every so many-th request of a workload."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run; `minutes` None is the full table. `build` holds environments, converted models and programs."""

    build: Path
    model: Path
    contenders: tuple[str, ...]
    minutes: float | None


@dataclass(frozen=True, slots=True)
class Ready:
    """A contender that can run: its interpreter, and settings that preparing it gave."""

    python: Path
    settings: dict[str, Any]


class Bench:
    """One session: all its runs are made on this machine, one after the other."""

    def __init__(self, options: Options, say: Callable[[str], None], runner: Callable[[Job, float], Run] = run) -> None:
        self._options = options
        self._say = say
        self._run = runner
        self._table = Table()
        self._ready: dict[str, Ready | MissingError] = {}
        self._lasted: dict[Cell, float] = {}
        self._machine = describe_machine()
        self._config: dict[str, Any] = json.loads((options.model / "config.json").read_bytes())

    def measure(self) -> dict[str, Any]:
        """Prepare everybody, run, and report."""
        for key in self._options.contenders:
            self._ready[key] = self._prepare(CONTENDERS[key])
        peaks = self._peaks()
        began = time.monotonic()
        minutes = self._options.minutes
        for cell in cells(full=minutes is None, chosen=self._options.contenders):
            left = float("inf") if minutes is None else 60 * minutes - (time.monotonic() - began)
            self._visit(cell, left)
        self._compare()
        return report(self._table, peaks, self._config, self._machine)

    def _peaks(self) -> dict[str, float]:
        try:
            return measure_peaks(self._options.build)
        except MissingError as error:
            self._say(f"instruction peaks: {error}")
            return {}

    def _prepare(self, contender: Contender) -> Ready | MissingError:
        """Install and convert, outside the measured time."""
        self._say(f"preparing {contender.title}")
        try:
            python = interpreter(contender.group, self._options.build / "environments")
            return Ready(python, export(contender, python, self._options.model, self._options.build))
        except MissingError as error:
            self._say(f"{contender.title}: {error}")
            return error

    def _visit(self, cell: Cell, left: float) -> None:
        """One more run of `cell`, or the reason why there is none."""
        ready = self._ready[cell.contender]
        if cell in self._table.missing:
            return
        if isinstance(ready, MissingError):
            self._table.missing[cell] = ready.reason
        elif left <= self._lasted.get(cell, 0.0):
            self._table.missing[cell] = self._no_time()
        else:
            self._attempt(cell, ready, left)

    def _attempt(self, cell: Cell, ready: Ready, left: float) -> None:
        try:
            self._once(cell, ready, left)
        except MissingError as error:
            self._table.missing[cell] = error.reason
            self._say(f"{_name(cell)}: {error}")

    def _no_time(self) -> str:
        return f"no time left within {self._options.minutes:g} minutes"

    def _compare(self) -> None:
        """Count each cell's answers that are the reference's, over the requests that both ran."""
        agreement = Agreement(self._options.model)
        for cell, runs in self._table.runs.items():
            if cell.contender == REFERENCE and runs:
                agreement.learn(self._requests(cell), runs[-1].answers)
        for cell, runs in self._table.runs.items():
            equal, known = agreement.compare(self._requests(cell), runs[-1].answers)
            self._table.agreement[cell] = f"{equal} of {known}" if known else None

    def _requests(self, cell: Cell) -> list[Request]:
        """The part of the workload that this contender runs."""
        requests = WORKLOADS[cell.workload].requests(min(VOCABULARY, self._config["vocab_size"]))
        if self._options.minutes is None:
            return requests[:: CONTENDERS[REFERENCE].every if cell.contender == REFERENCE else 1]
        part = CONTENDERS[cell.contender].part(self._machine["instruction_sets"])
        return requests[:: max(PART[cell.workload], part)]

    def _once(self, cell: Cell, ready: Ready, left: float) -> None:
        requests = self._requests(cell)
        limit = LONGEST_FULL if self._options.minutes is None else min(LONGEST, left)
        began = time.monotonic()
        contender, model = CONTENDERS[cell.contender], self._options.model
        try:
            measured = self._run(Job(contender, ready.python, model, requests, cell.cores, ready.settings), limit)
        except TooSlowError:
            if limit >= LONGEST:
                raise
            # Cut off by the budget, it might well have finished: that says nothing about the contender.
            raise MissingError(self._no_time()) from None
        self._lasted[cell] = time.monotonic() - began
        self._table.requests[cell] = len(requests)
        self._table.runs[cell].append(measured)
        self._say(f"{_name(cell)}: {measured.rate:.1f} tokens/s in {measured.seconds:.0f} s")


def _name(cell: Cell) -> str:
    return f"{cell.workload}, {cell.cores} {'core' if cell.cores == 1 else 'cores'}, {CONTENDERS[cell.contender].title}"
