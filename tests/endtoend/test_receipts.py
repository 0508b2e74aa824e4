"""Receipts of a real run: kept, verified by the command, and by a script that shares no code with it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import Typist

from devstack.stack import Stack

VERIFIER = Path(__file__).resolve().parents[1] / "independent_verifier.py"


@dataclass
class Run:
    """An output with its receipts, and where the stack's root and release are."""

    typist: Typist
    out: Path
    job: Path
    root: Path
    release: Path

    @property
    def pcr0(self) -> str:
        """The image that runs."""
        pcr0: str = json.loads(self.release.read_text())["pcrs"]["0"]
        return pcr0

    def verify(self, *words: str) -> tuple[int, str, str]:
        """Type `sealbatch verify`, offline: without the stack's configuration."""
        done = Typist(self.typist.folder).type("verify", str(self.out), *words)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def verify_independently(self, pcr0: str | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run the other verifier."""
        words = [str(self.out), str(self.job), str(self.root), pcr0 or self.pcr0]
        return subprocess.run([sys.executable, str(VERIFIER), *words], capture_output=True, check=False, timeout=60)


@pytest.fixture
def run(stack: Stack, typist: Typist) -> Run:
    """Seven questions in three chunks, answered."""
    source = typist.folder / "questions.jsonl"
    source.write_text("".join(f'{{"custom_id":"c{n}","question":"How many days, {n}?"}}\n' for n in range(7)))
    words = ("--chunk-size", "3", "--max-tokens", "4", "--receipts", "out.receipts")
    done = typist.type("run", "questions.jsonl", "-o", "out.jsonl", *words)
    assert done.returncode in {0, 3}, done.stderr.decode()
    assert b"under 3 verified receipts" in done.stderr
    assert b"WARNING: receipts were believed under a development root" in done.stderr
    (job,) = (typist.folder / "out.receipts").iterdir()
    root = stack.folder / "attestation" / "root.pem"
    return Run(typist, typist.folder / "out.jsonl", job, root, stack.release)


def test_a_real_run_is_verified_by_the_command_and_by_a_script_of_its_own(run: Run) -> None:
    """Both verify the output as it is, and neither believes a changed one, another image or another root."""
    trust = ("--development-root", str(run.root), "--release", str(run.release), "--input", "questions.jsonl")
    code, rows, talk = run.verify(*trust)
    assert code == 0, talk
    assert "WARNING: believing the development root" in talk
    assert [row["step"] for row in map(json.loads, rows.splitlines())] == [1, *range(3, 23)]
    assert run.verify_independently().stdout == b"verified\n"

    assert b"another image" in run.verify_independently("ab" * 48).stderr
    code, _, talk = run.verify("--development-root", str(run.root), "--pcr0", "ab" * 48)
    assert (code, "step 15 (release)" in talk) == (9, True)
    code, _, talk = run.verify()
    assert (code, "step 7 (chain)" in talk) == (9, True)

    lines = [json.loads(line) for line in run.out.read_text().splitlines()]
    lines[4]["response"]["body"]["choices"][0]["message"]["content"] = "Nobody said so."
    run.out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert b"answers were changed" in run.verify_independently().stderr
    code, rows, talk = run.verify(*trust)
    assert (code, rows, "record 4: receipt step 20 (results)" in talk) == (9, "", True)


def test_the_independent_verifier_is_short_and_shares_no_code() -> None:
    """Whoever does not trust us reads all of it."""
    lines = [line for line in VERIFIER.read_text().splitlines() if line.strip()]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    packages = ("wire", "results_consumer", "producer", "sealbatch", "devstack", "enclave_worker", "vsock_bridge")
    assert not any(name in line for line in imports for name in packages)
    assert len(lines) <= 75


def test_fetch_refuses_another_release_and_verify_takes_a_csv(run: Run) -> None:
    """`--pcr0` narrows what the manifest demands; a CSV of the same job is proven as JSON lines are."""
    ticket = json.loads(run.typist.type("list", "--json").stdout.splitlines()[0])["ticket"]
    done = run.typist.type("fetch", ticket, "-o", "again.jsonl", "--pcr0", "ab" * 48)
    assert done.returncode == 9
    assert b"receipt step 15 (release)" in done.stderr
    assert not (run.typist.folder / "again.jsonl").exists()
    done = run.typist.type("fetch", ticket, "-o", "again.csv", "--receipts", "again.receipts")
    assert done.returncode in {0, 3}
    run.out = run.typist.folder / "again.csv"
    assert run.verify("--development-root", str(run.root), "--release", str(run.release))[0] == 0
    run.out.write_text(run.out.read_text().replace("c3,4,", "c3,5,"))
    code, _, talk = run.verify("--development-root", str(run.root), "--release", str(run.release))
    assert (code, "record 3: receipt step 20 (results)" in talk, "U+FFFD" in talk) == (9, True, True)
    assert run.typist.type("fetch", ticket, "-o", "again.jsonl", "--pcr0", run.pcr0).returncode in {0, 3}
