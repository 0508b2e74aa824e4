"""`sealbatch fetch --follow` as a process that is killed in the middle, again and again: the file of a plain fetch."""

import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Typist
from cryptography.hazmat.primitives.serialization import Encoding
from folders import names
from job_factory import Aws, MadeJob, make_job
from receipt_factory import ROOT
from waiting import wait_until

CHUNKS = (3, 2, 4, 1, 2)


@pytest.fixture
def typist(aws: Aws, tmp_path: Path) -> Typist:
    """A reader who is configured for it."""
    root, config = tmp_path / "root.pem", tmp_path / "sealbatch.toml"
    root.write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    settings = {
        "tenant": aws.settings.tenant,
        "region": "eu-central-1",
        "bucket": aws.settings.bucket,
        "question_key": aws.settings.question_key,
        "answer_key": aws.settings.answer_key,
        "endpoint_url": aws.s3.meta.endpoint_url,
        "attestation_root": str(root),
    }
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    (tmp_path / "home").mkdir()
    return Typist(tmp_path / "home", config, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})


def lines(path: Path) -> int:
    """Lines that stand in a file."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def partial_has(path: Path, count: int) -> Callable[[], bool]:
    """Whether so many lines stand in a file."""
    return lambda: lines(path) == count


def test_killed_after_each_chunk_it_ends_with_the_file_of_a_plain_fetch(aws: Aws, typist: Typist) -> None:
    """SIGKILL whenever another chunk stands there; the same command goes on, and nothing is left beside the file."""
    made = make_job(aws, *CHUNKS)
    partial, out = typist.folder / "out.jsonl.partial", typist.folder / "out.jsonl"
    command = ("fetch", "--follow", str(made.ticket), "-o", "out.jsonl", "--receipts", "proof")
    for chunks in ((0, 1), (2,), (3,)):
        process = typist.start(*command)
        for number in chunks:
            made.answer(number)
            wait_until(partial_has(partial, sum(CHUNKS[: number + 1])), 60, "the lines of a chunk")
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    made.answer(4)
    done = typist.type(*command)
    assert done.returncode == 0, done.stderr
    plain = typist.type("fetch", str(made.ticket), "-o", "plain.jsonl", "--receipts", "plain.proof")
    assert plain.returncode == 0, plain.stderr
    assert out.read_bytes() == (typist.folder / "plain.jsonl").read_bytes()
    assert names(typist.folder / "proof") == names(typist.folder / "plain.proof") == [made.job]
    assert not partial.exists()
    assert not (typist.folder / "out.jsonl.progress").exists()


def test_in_a_pipe_answers_come_while_the_job_runs_and_the_counts_on_lines(aws: Aws, typist: Typist) -> None:
    """Data on standard output, each chunk at once; talk on standard error, without a control code."""
    made = make_job(aws, *CHUNKS[:3])
    made.fail(1, 3, 2, "enclave_lost")
    process = typist.start("fetch", "--follow", str(made.ticket), "-o", "-")
    assert process.stdout is not None
    assert process.stderr is not None
    made.answer(0)
    first = [json.loads(process.stdout.readline()) for _ in range(5)]
    assert [line["outcome"] for line in first] == ["succeeded"] * 3 + ["errored"] * 2
    assert process.poll() is None
    made.answer(2)
    rest, talk = process.communicate(timeout=60)
    assert rest.count(b"\n") == 4
    assert process.returncode == 3
    assert b"verified: 9 of 9 (7 succeeded, 2 errored)" in talk
    assert b"\x1b" not in talk


def test_ctrl_c_says_how_to_go_on(aws: Aws, typist: Typist) -> None:
    """And what stands beside the file by then is gone on with."""
    made = make_job(aws, 1, 1)
    made.answer(0)
    process = typist.start("fetch", "--follow", str(made.ticket), "-o", "out.jsonl")
    wait_until(lambda: lines(typist.folder / "out.jsonl.partial") == 1, 60, "a line")
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"sealbatch fetch --follow {made.ticket} -o out.jsonl".encode() in talk
    late = typist.type("fetch", "--follow", str(made.ticket), "-o", "out.jsonl", "--timeout", "0")
    assert late.returncode == 124
    assert b"1 of 2 records are answered" in late.stderr


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_bars_rate_time_left_and_outcomes_are_drawn(aws: Aws, typist: Typist, columns: int) -> None:
    """Within the width of the terminal."""
    made = make_job(aws, 2, 2, 2)
    made.answer_all()
    drawn = _terminal(typist, made, columns)
    for part in ("answered", "verified", "6/6", "/s", "6 succeeded", "complete: one outcome for each record"):
        assert part in drawn, drawn


def _terminal(typist: Typist, made: MadeJob, columns: int) -> str:
    """What `fetch --follow` draws on a terminal."""
    control, terminal = pty.openpty()
    words = [*typist.words(), "fetch", "--follow", str(made.ticket), "-o", f"out-{columns}.jsonl"]
    environment = typist.env() | {"TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, cwd=typist.folder, env=environment
    )
    os.close(terminal)
    parts: list[bytes] = []

    def collect() -> None:
        try:
            while data := os.read(control, 65536):
                parts.append(data)
        except OSError:  # the terminal is closed
            return

    reader = threading.Thread(target=collect)
    reader.start()
    assert process.wait(60) == 0
    reader.join()
    os.close(control)
    return b"".join(parts).decode()
