"""The engine in a real process of its own, killed, stopped and poisoned: its sequences are completed all the same."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import stub_engine
from engine_runs import complete
from stub_engine import StubEngine, answer_to
from waiting import wait_until

from enclave_worker.engine import Completion, Poisonous, Prompt, SamplingParams
from enclave_worker.manifest import ModelError
from enclave_worker.process_engine import ProcessEngine
from enclave_worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "stub_engine")


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'tests' / 'helpers'}:{ROOT}")


@contextmanager
def running(stall: float = 30.0, command: tuple[str, ...] = COMMAND) -> Iterator[ProcessEngine]:
    """An engine process for the length of the block."""
    with ProcessEngine(Settings(Path("/none"), engine_stall=stall, engine_start=60.0), command) as engine:
        yield engine


def prompt(key: int, text: str) -> Prompt:
    """A sequence of that text."""
    return Prompt(key, list(text.encode()), SamplingParams(16, 0.0, 1.0, 0, ()))


def child_of(engine: ProcessEngine) -> psutil.Process:
    """The engine's process."""
    return psutil.Process(engine._keeper.process().pid)


def texts(count: int) -> list[Prompt]:
    """Sequences that hurt nobody."""
    return [prompt(key, f"question {key}") for key in range(count)]


def right(prompts: list[Prompt]) -> dict[int, Completion]:
    """What an undisturbed engine completes."""
    return {item.key: Completion(item.key, answer_to(item), "stop", stub_engine.STEPS) for item in prompts}


def test_it_answers_as_the_engine_inside_it_does() -> None:
    """Identity, tokens, room and completions are the inner engine's."""
    inner = StubEngine()
    with running() as engine:
        assert (engine.model_name, engine.model_digest) == (inner.model_name, inner.model_digest)
        assert engine.context_length == inner.context_length
        assert engine.room() == inner.room()
        assert list(engine.tokenize("größer")) == inner.tokenize("größer")
        assert list(engine.tokenize("")) == []
        assert complete(engine, texts(9)) == right(texts(9))
        assert engine.room() == inner.room()


def test_a_killed_engine_loses_no_sequence() -> None:
    """SIGKILL in the middle of a batch: every sequence is completed once, as if nothing had been."""
    with running() as engine:
        engine.admit(texts(9))
        assert engine.step() == []
        first = child_of(engine)
        first.kill()
        first.wait(10)
        assert complete(engine, []) == right(texts(9))
        assert engine.vitals().restarts == 1


def test_an_engine_that_died_idle_is_there_for_the_next_batch() -> None:
    """Nothing is blamed for a death between two batches."""
    with running() as engine:
        assert complete(engine, texts(2)) == right(texts(2))
        child_of(engine).kill()
        assert complete(engine, texts(3)) == right(texts(3))


def test_a_hung_engine_is_ended_and_its_sequences_run_again() -> None:
    """SIGSTOP: an iteration that takes longer than the stall ends the process."""
    with running(stall=1.0) as engine:
        engine.admit(texts(4))
        engine.step()
        hung = child_of(engine)
        hung.suspend()
        assert complete(engine, []) == right(texts(4))
        assert not hung.is_running()


@pytest.mark.parametrize("word", [stub_engine.KILLS, stub_engine.HANGS, stub_engine.RAISES])
def test_one_poisonous_sequence_ends_alone(word: bytes) -> None:
    """Its neighbours are answered; it is completed as poison, and the engine goes on with others."""
    prompts = texts(5)
    prompts[2] = prompt(2, f"please {word.decode()} now")
    with running(stall=1.0) as engine:
        done = complete(engine, prompts)
        assert done.pop(2) == Completion(2, "", "poison", 0)
        assert done == {key: value for key, value in right(texts(5)).items() if key != 2}
        assert complete(engine, texts(3)) == right(texts(3))


def test_nothing_joins_a_suspect() -> None:
    """While suspects run alone there is no room, or a new sequence could be taken for the culprit."""
    with running() as engine:
        engine.admit([*texts(2), prompt(7, "raise-in-the-engine")])
        engine.step()
        while engine.busy():
            assert engine.room().sequences == 0
            engine.step()
        assert engine.room().sequences > 0


def test_a_text_that_the_tokenizer_dies_of_is_refused() -> None:
    """It is named poisonous; other texts are tokenized, by the next process."""
    with running() as engine:
        with pytest.raises(Poisonous):
            engine.tokenize("kill-the-tokenizer")
        assert list(engine.tokenize("ab")) == [97, 98]


def test_the_engine_ends_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed leaves no process behind that holds questions."""
    program = (
        "import sys, time; from pathlib import Path\n"
        "from enclave_worker.process_engine import ProcessEngine; from enclave_worker.settings import Settings\n"
        f"engine = ProcessEngine(Settings(Path('/none')), (sys.executable, '-m', 'stub_engine'))\n"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(engine._keeper.process().pid)); time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 60, "the engine process")
    child = psutil.Process(int((tmp_path / "pid").read_text()))
    parent.kill()
    parent.wait()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the end of the child")


def test_a_model_that_cannot_be_loaded_is_said_once(tmp_path: Path) -> None:
    """The reason comes out of the process; there is no endless restarting."""
    program = (
        "from enclave_worker.engine_child import main; from enclave_worker.manifest import ModelError\n"
        "def build(_): raise ModelError('weights: 3 missing keys')\nmain(build)\n"
    )
    with pytest.raises(ModelError, match="weights: 3 missing keys"):
        ProcessEngine(Settings(tmp_path), (sys.executable, "-c", program))


def test_closing_ends_the_process() -> None:
    """And is quick, though a sequence runs."""
    with running() as engine:
        engine.admit(texts(2))
        child = child_of(engine)
    wait_until(lambda: not child.is_running(), what="the end of the child")


def test_no_core_file_and_no_debugger(tmp_path: Path) -> None:
    """Both processes forbid core dumps, and that another process of the same user reads their memory."""
    program = (
        "import ctypes, resource; from enclave_worker.process import harden; harden()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert said == "0 (0, 0)\n"
    with running() as engine:
        limits = Path(f"/proc/{child_of(engine).pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")] == [["0", "0"]]


def test_a_signal_to_the_whole_group_is_for_the_parent(tmp_path: Path) -> None:
    """Ctrl-C reaches both; the engine finishes the running chunks while the parent drains."""
    with running() as engine:
        engine.admit(texts(2))
        os.kill(child_of(engine).pid, signal.SIGINT)
        os.kill(child_of(engine).pid, signal.SIGTERM)
        assert complete(engine, []) == right(texts(2))
        assert engine.vitals().restarts == 0
