"""Each role does its work where nothing but its own extra is installed: modules of all others cannot be imported."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from command import Typist

ONE_ROLE = Path(__file__).resolve().parents[1] / "helpers" / "one_role.py"
MODEL = Path(__file__).resolve().parents[2] / "models" / "benefits-bloom"
ANSWER = f"""
from pathlib import Path
from enclave_worker.__main__ import main
from enclave_worker.build import build_engine
from enclave_worker.engine import Prompt, SamplingParams
from enclave_worker.settings import Settings
engine = build_engine(Settings(model=Path({str(MODEL)!r})))
engine.admit([Prompt(1, engine.tokenize("Hello"), SamplingParams(2, 0.0, 1.0, 0, ()))])
while not (done := engine.step()):
    pass
print("answered", done[0].completion_tokens)
"""


@dataclass
class Roles(Typist):
    """A user who has installed one extra."""

    extra: str = ""

    def words(self, settings: object = None) -> list[str]:
        """The words before the verb."""
        del settings
        return [sys.executable, str(ONE_ROLE), self.extra, "--config", str(self.config)]


def test_each_role_works_with_its_own_extra(typist: Typist) -> None:
    """An asker submits, a reader fetches, an auditor verifies, an operator looks, the night is checked."""

    def type_as(extra: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        done = Roles(typist.folder, typist.config, extra=extra).type(*words)
        assert done.returncode == 0, done.stderr.decode()
        return done

    source = typist.folder / "questions.jsonl"
    source.write_text('{"custom_id": "a", "question": "How many weeks of parental leave can I take?"}\n')
    ticket = type_as("asker", "submit", "questions.jsonl").stdout.decode().strip()
    type_as("reader", "wait", ticket)
    type_as("reader", "fetch", ticket, "-o", "out.jsonl", "--receipts", "out.receipts")
    root = typist.config.parent / "attestation" / "root.pem"
    type_as("auditor", "verify", "out.jsonl", "--development-root", str(root), "--input", "questions.jsonl")
    type_as("bridge", "dlq", "ls")
    night = typist.folder / "night.toml"
    (typist.folder / "inbox").mkdir()
    (typist.folder / "answers").mkdir()
    night.write_text(
        typist.config.read_text()
        + '\n[[schedules]]\nname = "benefits"\ncron = "0 2 * * *"\ntime_zone = "UTC"\n'
        + f'inbox = "{typist.folder}/inbox"\nanswers = "{typist.folder}/answers"\n'
    )
    checked = Roles(typist.folder, night, extra="nightly").type("schedule", "check")
    assert checked.returncode == 0, checked.stderr.decode()


def test_the_enclave_answers_with_its_own_extra(tmp_path: Path) -> None:
    """The engine loads the demonstration's model and gives tokens: without transformers or AWS."""
    command = [sys.executable, str(ONE_ROLE), "enclave", "-c", ANSWER]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("answered")


def test_an_auditor_makes_a_bundle_without_aws(tmp_path: Path) -> None:
    """Whoever has no role that uses AWS may have trouble too: what needs it says so, and the rest is there."""
    config = tmp_path / "sealbatch.toml"
    config.write_text('region = "eu-central-1"\n')
    done = Roles(tmp_path, config, extra="auditor").type("support-bundle", "--health", "127.0.0.1:1")
    assert done.returncode == 0, done.stderr.decode()
    rows = {row["file"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["doctor.jsonl"]["about"].startswith("boto3 is not installed")
    assert rows["versions.json"]["bytes"] > 100
