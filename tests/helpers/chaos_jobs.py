"""The jobs of a chaos run: submitted, waited for and fetched by the real command, which is killed now and then too."""

import contextlib
import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from chaos_processes import environment

from enclave_worker.template import Template
from sealbatch.tickets import TicketBook
from wire.payload import Message

VERB_TIMEOUT: Final = 900.0
CHUNK: Final = 128
LARGE_CHUNKS: Final = ("--chunk-size", str(CHUNK), "--max-tokens", "16")
"""Many records a message, since it is messages that faults befall."""


@dataclass
class Verdict:
    """What was wrong with the outputs; `repeated` are lines too many for a custom_id."""

    records: int = 0
    lost: int = 0
    repeated: int = 0
    wrong: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Verdict") -> None:
        """Count another job's."""
        self.records += other.records
        self.lost += other.lost
        self.repeated += other.repeated
        self.wrong += other.wrong
        self.outcomes += other.outcomes


@dataclass
class Job:
    """One file of questions, and the answers that an undisturbed run gives."""

    folder: Path
    expected: dict[str, str]
    ticket: str = ""

    @property
    def questions(self) -> Path:
        """The input."""
        return self.folder / "questions.jsonl"

    @property
    def answers(self) -> Path:
        """The output."""
        return self.folder / "answers.jsonl"

    def judge(self) -> Verdict:
        """Compare the output with what was to be expected, line by line."""
        verdict = Verdict(len(self.expected))
        lines: Counter[str] = Counter()
        text = self.answers.read_text() if self.answers.exists() else ""
        for line in map(json.loads, text.splitlines()):
            lines[line["custom_id"]] += 1
            verdict.outcomes[line["outcome"]] += 1
            content = line["response"] and line["response"]["body"]["choices"][0]["message"]["content"]
            verdict.wrong += content != self.expected.get(line["custom_id"])
        verdict.lost = sum(1 for name in self.expected if name not in lines)
        verdict.repeated = sum(count - 1 for count in lines.values())
        return verdict


def make_job(folder: Path, name: str, records: int, template: Template, dice: random.Random, *, words: int = 40) -> Job:
    """Write `records` questions of differing lengths, each of fewer than `words` words and its name."""
    folder.mkdir(parents=True)
    expected: dict[str, str] = {}
    with (folder / "questions.jsonl").open("w") as file:
        for number in range(records):
            custom_id = f"{name}-{number}"
            question = f"{custom_id} " + "leave " * dice.randrange(1, words)
            file.write(json.dumps({"custom_id": custom_id, "question": question}) + "\n")
            rendered = template.render((Message("user", question),))
            expected[custom_id] = hashlib.sha256(rendered.encode()).hexdigest()[:16]
    return Job(folder, expected)


class Client:
    """Takes one job after another to its end; the verb that runs now can be killed."""

    def __init__(self, name: str, config: Path, folder: Path) -> None:
        self.name = name
        self._config = config
        self._folder = folder
        self._running: subprocess.Popen[bytes] | None = None
        self._home = folder / f"home-{name}"
        self._home.mkdir()
        self._book = TicketBook(self._home / ".local/state/sealbatch/tickets.jsonl")
        self.retries: Counter[str] = Counter()
        self.patience = threading.Event()

    def target(self) -> psutil.Process | None:
        """The verb that runs now."""
        running = self._running
        if running is None or running.poll() is not None:
            return None
        with contextlib.suppress(psutil.Error):
            return psutil.Process(running.pid)
        return None

    def carry(self, job: Job, deadline: float) -> bool:
        """Submit, wait and fetch; False if it did not come to an end by `deadline`."""
        while not job.ticket:
            job.ticket = self._submit(job)
            if time.monotonic() > deadline:
                return False
        while time.monotonic() < deadline:
            code, _ = self._type("wait", "--timeout", "20", job.ticket)
            if code == 0 and self._type("fetch", job.ticket, "-o", str(job.answers), "--force")[0] == 0:
                return True
            if code == 124:
                self._type("sweep", job.ticket)
        return False

    def _submit(self, job: Job) -> str:
        """The ticket; a submit that was killed after the job existed left it in the book of tickets."""
        before = len(self._book.all())
        code, said = self._type("submit", "--name", job.folder.name, *LARGE_CHUNKS, str(job.questions))
        if code == 0:
            return said.decode().strip()
        kept = self._book.all()
        return kept[-1].ticket if len(kept) > before else ""

    def _type(self, *words: str) -> tuple[int, bytes]:
        with (self._folder / f"client-{self.name}.log").open("ab") as log:
            log.write(f"$ sealbatch {' '.join(words)}\n".encode())
            log.flush()
            self._running = subprocess.Popen(
                [sys.executable, "-m", "sealbatch", "--config", str(self._config), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(self._home),
            )
            said: Any = b""
            with contextlib.suppress(subprocess.TimeoutExpired):
                said, _ = self._running.communicate(timeout=VERB_TIMEOUT)
            self._running.kill()
            code = self._running.wait()
            log.write(f"= {code}\n".encode())
        if code != 0:
            self.retries[f"{words[0]} {code}"] += 1
        return code, said
