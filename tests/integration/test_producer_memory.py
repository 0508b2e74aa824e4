"""The producer's memory does not grow with its input, but for 100 bytes a line.

`make million` runs this with a million lines and prints the figures.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from command import Typist

LINES = int(os.environ.get("SEALBATCH_LINES", "60000"))
LIMIT = 200 * 1024
"""KiB that a million lines may take."""
A_LINE = 100
"""Bytes: 16 for each slot of the table of ids, which is a third full at the least and doubles, and some for a chunk."""
KEY = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000"
SETTINGS = {
    "tenant": "benefits",
    "bucket": "bucket",
    "queue_url": "https://sqs.eu-central-1.amazonaws.com/123456789012/queue",
    "question_key": KEY + "a",
    "answer_key": KEY + "b",
    "image": "ab" * 48,
}


def peak(folder: Path, lines: int, words: Sequence[str]) -> int:
    """KiB that a verb takes at most for so many lines."""
    with (folder / "in.jsonl").open("w") as file:
        for number in range(lines):
            file.write(
                json.dumps({"custom_id": f"case-{number}", "question": f"How many days of leave, case {number}?"})
            )
            file.write("\n")
    report = folder / "peak"
    typist = Typist(folder)
    command = [sys.executable, str(Path(__file__).parents[1] / "helpers" / "peak_memory.py"), str(report)]
    done = subprocess.run([*command, *words], env=typist.env(), cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return int(report.read_text())


@pytest.mark.parametrize("words", [("validate",), ("submit", "--dry-run")], ids=" ".join)
@pytest.mark.timeout(1800)
def test_memory_stays_flat(tmp_path: Path, words: tuple[str, ...]) -> None:
    """All but sending: lines are read, checked, sealed and spooled, and none of them is kept."""
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    few = peak(tmp_path, 1000, [*settings, *words, "in.jsonl"])
    many = peak(tmp_path, LINES, [*settings, *words, "in.jsonl"])
    print(f"{' '.join(words)}: {few // 1024} MiB for 1,000 lines, {many // 1024} MiB for {LINES:,}")  # noqa: T201
    assert many < LIMIT
    assert (many - few) * 1024 < LINES * A_LINE + 2**20
