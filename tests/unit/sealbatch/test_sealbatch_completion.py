"""What shells offer: bash itself is asked; zsh and fish where they are installed, and by their protocol everywhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sealbatch.tickets import TicketBook
from wire.ticket import Ticket

TICKETS = (Ticket("a" * 16, bytes(16)), Ticket("b" * 16, bytes(16)))
COMMANDS = Path(sys.executable).parent


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user with two jobs and two schedules, and no AWS."""
    book = TicketBook(tmp_path / ".local/state/sealbatch/tickets.jsonl")
    for ticket in TICKETS:
        book.keep(ticket, "october", 5)
    (tmp_path / "sealbatch.toml").write_text('[[schedules]]\nname = "benefits"\n\n[[schedules]]\nname = "payroll"\n')
    return tmp_path


def run(home: Path, *words: str, **more: str) -> str:
    """Run in that user's folder; standard output."""
    environment = {"PATH": f"{COMMANDS}:{os.environ['PATH']}", "HOME": str(home), **more}
    done = subprocess.run(words, capture_output=True, text=True, cwd=home, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def shell(name: str) -> str:
    """Its path; tests that need a shell say so where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install {name}): only its script's protocol was tested")
    return found


CASES = {
    "sealbatch fe": ["fetch"],
    "sealbatch dlq ": ["ls", "show", "redrive", "drop"],
    "sealbatch fetch --rel": ["--release"],
    "sealbatch fetch --only f": ["failed"],
    "sealbatch wait sb1-": [str(ticket) for ticket in reversed(TICKETS)],
    "sealbatch schedule pause ": ["benefits", "payroll"],
    "sealbatch submit ": [],
}


ASK = """COMP_WORDS=(LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sealbatch_completion sealbatch
echo "${COMPREPLY[@]}\""""


def test_bash_completes_verbs_options_tickets_and_schedules(home: Path) -> None:
    """In bash itself, which is on every Debian; where a file is wanted nothing is offered, and bash offers files."""
    asks = [ASK.replace("LINE", f"{line}''" if line.endswith(" ") else line) for line in CASES]
    script = "\n".join(["source <(sealbatch completion bash)", *asks])
    offered = run(home, "bash", "--norc", "-c", script).splitlines()
    assert [line.split() for line in offered] == list(CASES.values())


def test_zsh_and_fish_are_answered_in_their_way(home: Path) -> None:
    """With what each word means."""
    words = {"_TYPER_COMPLETE_ARGS": "sealbatch schedule pa", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    zsh = run(home, "sealbatch", _SEALBATCH_COMPLETE="complete_zsh", **words)
    assert zsh.strip() == """_arguments '*: :(("pause":"Let no run begin until resume; what has begun goes on."))'"""
    fish = run(home, "sealbatch", _SEALBATCH_COMPLETE="complete_fish", **words)
    assert fish.strip() == "pause\tLet no run begin until resume; what has begun goes on."


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_the_script_is_one_of_that_shell(home: Path, name: str) -> None:
    """It names the command and the function, and the shell itself finds nothing wrong with it."""
    script = home / name
    script.write_text(run(home, "sealbatch", "completion", name))
    assert "sealbatch" in script.read_text()
    assert f"_SEALBATCH_COMPLETE=complete_{name}" in script.read_text()
    run(home, shell(name), "-n", str(script))


EVIL = (
    r"\$(touch evil)",
    "$(touch evil)",
    "`touch evil`",
    r"\`touch evil`",
    '"; touch evil; "',
    "'; touch evil; '",
    "x\ny",
)


def test_zsh_runs_nothing_that_stands_in_the_name_of_a_job_or_a_schedule(home: Path) -> None:
    """A job has its file's name, which may come by mail; zsh's `_arguments` evaluates descriptions once more."""
    book = home / ".local/state/sealbatch/tickets.jsonl"
    book.unlink()
    for name in EVIL:
        TicketBook(book).keep(TICKETS[0], f"{name}.csv", 5)
    (home / "sealbatch.toml").write_text("".join(f"[[schedules]]\nname = {json.dumps(name)}\n" for name in EVIL))
    words = {"_TYPER_COMPLETE_ARGS": "sealbatch wait sb1-"}
    offered = run(home, "sealbatch", _SEALBATCH_COMPLETE="complete_zsh", **words)
    lines = offered.removeprefix("_arguments '*: :((").removesuffix("))'\n").split("\n")
    assert len(lines) == len(EVIL)
    for line in lines:
        assert re.fullmatch(rf'"{TICKETS[0]}":"[\w .-]+\.csv"', line)
    words = {"_TYPER_COMPLETE_ARGS": "sealbatch schedule pause "}
    assert run(home, "sealbatch", _SEALBATCH_COMPLETE="complete_zsh", **words).strip() == "_files"


def test_fish_completes(home: Path) -> None:
    """In fish itself."""
    script = "sealbatch completion fish | source; complete -C 'sealbatch fetch --only '"
    assert run(home, shell("fish"), "--no-config", "-c", script).split() == ["answered", "failed", "ok", "truncated"]


def test_another_shell_is_refused_by_name(home: Path) -> None:
    """With those that there are, and the way to the help."""
    done = subprocess.run(
        [COMMANDS / "sealbatch", "completion", "tcsh"],
        capture_output=True,
        text=True,
        cwd=home,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "bash, zsh, fish" in done.stderr
    assert "next: sealbatch completion --help" in done.stderr


def test_a_broken_configuration_offers_no_schedules(home: Path) -> None:
    """And no trace of Python in the middle of the line that is typed."""
    (home / "sealbatch.toml").write_text("not TOML")
    words = {"COMP_WORDS": "sealbatch schedule pause ", "COMP_CWORD": "3"}
    assert run(home, "sealbatch", _SEALBATCH_COMPLETE="complete_bash", **words).strip() == ""
