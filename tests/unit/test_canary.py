"""The canary's own proof: it finds what is planted, in every spelling and place that it claims to look in."""

import base64
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from canary import BLOCK, Canary

WORD = "kestrel-" + secrets.token_hex(8)
HOLDER = "import sys; word = sys.stdin.readline(); print('ready', flush=True); sys.stdin.readline()"


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_it_finds_a_word_in_base64_wherever_it_starts(shift: int) -> None:
    """Three bytes become four characters, so a word has three base64 spellings."""
    assert Canary([WORD]).find(base64.b64encode(bytes(shift) + WORD.encode() + b"and more")) == {WORD}


@pytest.mark.parametrize(
    "spelling", [WORD.encode(), WORD.encode().hex().encode(), WORD.encode("utf-16-le")], ids=["utf-8", "hex", "utf-16"]
)
def test_it_finds_a_word_in_other_spellings(spelling: bytes) -> None:
    """Raw, hexadecimal and UTF-16."""
    assert Canary([WORD, "another-word-0000"]).find(b"before" + spelling + b"after") == {WORD}


def test_it_finds_nothing_where_nothing_is() -> None:
    """Random bytes hold no word of ours."""
    assert Canary([WORD]).find(secrets.token_bytes(100_000)) == set()


def test_it_finds_a_word_that_two_blocks_share(tmp_path: Path) -> None:
    """A word at the edge of what is read at once is not missed."""
    path = tmp_path / "file"
    path.write_bytes(bytes(BLOCK - 5) + WORD.encode() + bytes(100))
    assert Canary([WORD]).find_in_file(path) == {WORD}


def test_it_finds_a_word_in_the_memory_of_another_process() -> None:
    """The word reaches the process by a pipe and lies nowhere but in its memory."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(WORD + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "ready\n"
        assert Canary([WORD, "kestrel-not-there"]).find_in_process(child.pid) == {WORD}
        child.stdin.close()


def test_it_finds_a_word_in_the_environment_of_another_process() -> None:
    """Environment variables are looked at too."""
    command = [sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.readline()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"CANARY": WORD}
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert Canary([WORD]).find_in_process(child.pid) == {WORD}
        child.stdin.close()
