"""One run of one contender: a process of its own, pinned to its cores, that measures itself."""

import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from bench.contenders import Contender
from bench.environments import MissingError, TooSlowError, last_error
from bench.workload import FIRST_TOKEN, Request

RUNNERS: Final = Path(__file__).resolve().parent / "runners"
WARMUP: Final = (4, 40, 4)
"""Requests, prompt tokens and answer tokens that each process runs before it is measured; no workload has them."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one process measured of itself. Memory in MiB; `instructions` where the machine counts them."""

    seconds: float
    cpu_s: float
    tokens: int
    load_s: float
    rss_mb: float
    pss_mb: float
    instructions: int | None
    versions: dict[str, str]
    answers: list[dict[str, Any]]
    """For each request `length`, and `tokens` (their numbers) or `text`."""

    @property
    def rate(self) -> float:
        """Answer tokens a second over the whole run, prompts included."""
        return self.tokens / self.seconds


def cores(count: int) -> list[int]:
    """The last `count` cores that this process may use: the first is where everything else runs.

    Raises:
        MissingError: there are fewer.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < count:
        raise MissingError(f"this machine gives {len(allowed)} cores")
    return allowed[-count:]


@dataclass(frozen=True, slots=True)
class Job:
    """What one process is to do. `settings` come over the contender's own."""

    contender: Contender
    python: Path
    model: Path
    requests: Sequence[Request]
    cores: int
    settings: Mapping[str, Any]


def run(job: Job, limit: float) -> Run:
    """Run the requests once; `limit` seconds at most.

    Raises:
        MissingError: the contender does not start, fails, or takes longer.
    """
    pin = ",".join(str(core) for core in cores(job.cores))
    if (taskset := shutil.which("taskset")) is None:
        raise MissingError("taskset is not installed")
    with tempfile.TemporaryDirectory() as folder:
        task, result = Path(folder) / "task.json", Path(folder) / "result.json"
        task.write_text(json.dumps(_task(job) | {"result": str(result)}))
        script = RUNNERS / f"{job.contender.group}_runner.py"
        command = [taskset, "--cpu-list", pin, str(job.python), str(script), str(task)]
        environment = _environment(job.cores)
        try:
            ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=limit)
        except subprocess.TimeoutExpired:
            raise TooSlowError(f"does not finish within {limit:.0f} s") from None
        if ended.returncode or not result.is_file():
            raise MissingError(f"fails: {last_error(ended.stderr)}")
        measured = json.loads(result.read_text())
    return Run(**{field.name: measured[field.name] for field in fields(Run)})


def _task(job: Job) -> dict[str, Any]:
    rng = random.Random("warm up")
    count, prompt, answer = WARMUP
    highest = 1 + max(token for request in job.requests for token in request.prompt)
    warmup = [Request(tuple(rng.randrange(FIRST_TOKEN, highest) for _ in range(prompt)), answer) for _ in range(count)]
    return {
        "model": str(job.model),
        "requests": [{"prompt": request.prompt, "answer": request.answer} for request in job.requests],
        "warmup": [{"prompt": request.prompt, "answer": request.answer} for request in warmup],
        "threads": job.cores,
        "precision": job.contender.precision,
        "settings": {**job.contender.settings, **job.settings},
        "packages": job.contender.packages,
    }


def _environment(threads: int) -> dict[str, str]:
    """No network for any peer, and no more threads than cores."""
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return {**os.environ, **offline, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
