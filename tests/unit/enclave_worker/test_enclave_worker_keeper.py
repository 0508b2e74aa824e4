"""The supervisor of the engine process: another one after each end, later and later as long as they die young."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

import enclave_worker.keeper
from enclave_worker.engine_process import EngineGone
from enclave_worker.keeper import FIRST_PAUSE, LONGEST_PAUSE, YOUNG, Keeper


class Clock:
    """Seconds that pass only in processes that live for a while."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


class Process:
    """Lives for so many seconds of the clock; None for as long as it is let."""

    pid = 1

    def __init__(self, clock: Clock, life: float | None) -> None:
        self._clock = clock
        self._life = life
        self._killed = threading.Event()
        self.alive = True

    def wait(self) -> int:
        """Its end."""
        if self._life is None:
            self._killed.wait()
        else:
            self._clock.now += self._life
        self.alive = False
        return -9

    def kill(self) -> None:
        """End it."""
        self._killed.set()


def test_a_process_that_dies_young_is_started_again_ever_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses double up to the longest, by chance between half and all of it; one that lived long begins anew."""
    clock, pauses, lives = Clock(), list[float](), [*[1.0] * 12, YOUNG + 1, 1.0]

    class Recording(threading.Event):
        """Remembers for how long it was waited, and waits for nothing."""

        def wait(self, timeout: float | None = None) -> bool:
            """Go on at once."""
            pauses.append(timeout or 0.0)
            return self.is_set()

    made = SimpleNamespace(Condition=threading.Condition, Event=Recording, Thread=threading.Thread)
    monkeypatch.setattr(enclave_worker.keeper, "threading", made)
    monkeypatch.setattr(enclave_worker.keeper, "time", clock)
    up = threading.Event()

    def start() -> Any:
        if lives:
            return Process(clock, lives.pop(0))
        up.set()
        return Process(clock, None)

    keeper = Keeper(start)
    assert up.wait(30)
    assert keeper.process().alive
    assert keeper.starts >= 14
    keeper.close()
    expected = [min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (at + 1)) for at in range(12)]
    expected += [FIRST_PAUSE, 2 * FIRST_PAUSE]
    for pause, longest in zip(pauses, expected, strict=False):
        assert longest / 2 <= pause <= longest
    with pytest.raises(EngineGone):
        keeper.process()
