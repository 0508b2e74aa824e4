"""Runs of the bench that no process made."""

from collections.abc import Sequence
from typing import Any

from bench.environments import MissingError
from bench.pinned import Job, Run
from bench.workload import Request


def made_up_run(requests: Sequence[Request], rate: float) -> Run:
    """A run over `requests` at `rate` tokens a second, whose answers are all of token 300."""
    tokens = sum(request.answer for request in requests)
    answers: list[dict[str, Any]] = [{"length": r.answer, "tokens": [300] * r.answer} for r in requests]
    return Run(tokens / rate, tokens / rate, tokens, 1.5, 900.0, 800.0, None, {"torch": "0"}, answers)


class Runner:
    """Stands where `bench.pinned.run` stands: rates by contender, and those that fail."""

    def __init__(self, rates: dict[str, float]) -> None:
        self._rates = rates
        self.order: list[tuple[str, int]] = []

    def __call__(self, job: Job, _: float) -> Run:
        """A run, or the reason for none."""
        key = job.contender.key
        self.order.append((key, job.cores))
        if key not in self._rates:
            raise MissingError("fails: no such instruction")
        return made_up_run(job.requests, self._rates[key] * job.cores)
