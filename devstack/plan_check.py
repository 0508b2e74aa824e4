"""Whether `sealbatch plan` foresees what really happens: a job through the real pipeline on this machine.

`python -m devstack.plan_check [RECORDS]`. Measures in one run the engine alone, the sealing, and the way of a single
record; lets the simulation foresee a job at these rates; runs the job; and compares. The exit code is 0 if they agree
within 15 %.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from devstack.part import wait_until
from devstack.provision import TENANT
from devstack.stack import MODEL, ROOT, Stack
from enclave_worker.engine import Prompt, SamplingParams
from enclave_worker.process_engine import ProcessEngine
from enclave_worker.scheduler import Scheduler
from enclave_worker.settings import Settings
from enclave_worker.template import load_template
from producer.chunks import DEFAULT_RECORDS
from producer.forms import InputForm
from producer.submission import Phase, SubmitOptions, SubmitProgress
from producer.submit import submit
from results_consumer.fetch import fetch
from results_consumer.sink import FileSink
from sealbatch.aws.clients import producer_clients, reader_kms, reader_s3
from sealbatch.config import Config, load_config
from sealbatch.fleet.simulate import Fleet, Rates, Work, simulate
from wire import ledger
from wire.payload import Message, Params
from wire.ticket import Ticket

TOLERANCE: Final = 0.15
FEW: Final = 8
TOKENS: Final = 48
"""Longest answer; the model ends most of its own by then."""
ROUNDS: Final = 3
CALIBRATED: Final = 192
WARM: Final = 64
"""Prompts that are answered before the engine is timed: its pages are touched, its code is loaded."""
PATIENCE: Final = 600.0
HELD_OUT: Final = ROOT / "models" / "data" / "heldout.jsonl"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job, and how long its parts took in seconds: all before the first message, the messages, and until answered."""

    ticket: Ticket
    before_s: float
    send_s: float
    whole_s: float


def main() -> int:
    """Measure, foresee, run and compare, some times over; the median decides, since machines are noisy."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 768
    with tempfile.TemporaryDirectory(prefix="sealbatch-plan-") as folder, Stack(Path(folder) / "stack") as stack:
        config = load_config(stack.config, ())
        off = statistics.median(_round(config, number, records, Path(folder)) for number in range(ROUNDS))
    say(f"median {off:+.1%} of at most {TOLERANCE:.0%}")
    return 0 if abs(off) <= TOLERANCE else 1


def _round(config: Config, number: int, records: int, folder: Path) -> float:
    """How far the foreseen time is off, as a part of the measured one."""
    settings = Settings(model=MODEL)
    one, trial = run_job(config, 1, f"one {number}"), run_job(config, CALIBRATED, f"trial {number}")
    before = _engine_rates(settings.max_sequences)
    job = run_job(config, records, f"job {number}")
    after = _engine_rates(settings.max_sequences)
    tokens = _mean_tokens(config, job.ticket, folder / f"answers-{number}.jsonl")
    step, token = (before[0] + after[0]) / 2, (before[1] + after[1]) / 2
    rates = Rates(
        step_s=step,
        token_s=token,
        before_s=trial.before_s / CALIBRATED * records,
        send_s=trial.send_s / (CALIBRATED // DEFAULT_RECORDS),
        carry_s=max(one.whole_s - one.before_s - tokens * (step + token), 0.0),
    )
    work = Work(records, DEFAULT_RECORDS, tokens)
    foreseen = simulate(work, Fleet(1, settings.window_chunks, settings.max_sequences), rates)
    off = foreseen.end_s / job.whole_s - 1
    full = settings.max_sequences / (step + token * settings.max_sequences)
    say(
        f"{records} records of {tokens:.1f} tokens: engine {full:.0f} tokens/s alone, sealing "
        f"{records / rates.before_s:.0f}/s, carrying {rates.carry_s:.2f} s; "
        f"foreseen {foreseen.end_s:.1f} s, measured {job.whole_s:.1f} s: {off:+.1%}"
    )
    return off


def engine_rate(sequences: int) -> float:
    """Tokens a second of the engine process with at most so many sequences, fed without a pause."""
    settings = Settings(model=MODEL, max_sequences=sequences)
    template = load_template(MODEL)
    with ProcessEngine(settings) as engine:
        texts = [
            template.render((Message("user", json.loads(line)["question"]),)) for line in _questions(CALIBRATED, "rate")
        ]
        params = SamplingParams(TOKENS, 0.0, 1.0, 0, template.stop)
        prompts = [Prompt(key, engine.tokenize(text), params, TENANT, b"rate") for key, text in enumerate(texts)]
        _complete(engine, prompts[:WARM])
        began = time.monotonic()
        tokens = _complete(engine, prompts[WARM:])
        return tokens / (time.monotonic() - began)


def _complete(engine: ProcessEngine, prompts: list[Prompt]) -> int:
    """Tokens of all answers."""
    scheduler, tokens, done = Scheduler(), 0, 0
    scheduler.add(prompts)
    while done < len(prompts):
        if admitted := scheduler.take(engine.room()):
            engine.admit(admitted)
        finished = engine.step()
        done += len(finished)
        tokens += sum(completion.completion_tokens for completion in finished)
    return tokens


def run_job(config: Config, records: int, name: str) -> Submitted:
    """Submit so many questions and wait until all answers are stored."""
    source = BytesIO(b"".join(line + b"\n" for line in _questions(records, name)))
    marks: dict[Phase, float] = {}

    def mark(progress: SubmitProgress) -> None:
        marks.setdefault(progress.phase, time.monotonic())

    began = time.monotonic()
    settings, clients = config.producer(), producer_clients(config)
    params = Params(max_tokens=TOKENS)
    done = submit(source, InputForm(), params, SubmitOptions(), settings, clients, mark)
    sent = time.monotonic()
    if done.ticket is None:
        raise AssertionError("only a dry run has no ticket")
    _await_answers(config, done.ticket, done.chunks)
    first = marks[Phase.SEND]
    return Submitted(done.ticket, first - began, sent - first, time.monotonic() - began)


def _await_answers(config: Config, ticket: Ticket, chunks: int) -> None:
    s3: Any = reader_s3(config)
    prefix = ledger.answer_prefix(TENANT, ticket.job)

    def answered() -> bool:
        return bool(s3.list_objects_v2(Bucket=config.resources.bucket, Prefix=prefix)["KeyCount"] >= chunks)

    wait_until(answered, PATIENCE, f"the answer to each of {chunks} chunks")


def _mean_tokens(config: Config, ticket: Ticket, path: Path) -> float:
    fetch(reader_s3(config), reader_kms(config), config.reader(), ticket, FileSink(path))
    usages = [json.loads(line)["response"]["body"]["usage"] for line in path.read_bytes().splitlines()]
    return float(sum(usage["completion_tokens"] for usage in usages)) / len(usages)


def _engine_rates(sequences: int) -> tuple[float, float]:
    """The two parts of a step in seconds, from its length at two numbers of sequences: a step makes a token of each."""
    long, short = sequences / engine_rate(sequences), FEW / engine_rate(FEW)
    token = max((long - short) / (sequences - FEW), 0.0)
    return long - sequences * token, token


def _questions(count: int, name: str) -> Iterator[bytes]:
    """Lines that differ from their first word on: what is identical is computed once, and so is a common beginning."""
    asked = [json.loads(line)["question"] for line in HELD_OUT.read_text(encoding="utf-8").splitlines()]
    for number in range(count):
        question = f"{name} {number}: {asked[number % len(asked)]}"
        yield json.dumps({"custom_id": str(number), "question": question}).encode()


def say(line: str) -> None:
    """Write a line of the report."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
