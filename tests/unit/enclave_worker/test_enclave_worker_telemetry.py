"""How reports are cut: by the enclave's own clock, never shorter than the interval, and the same for all."""

import os
from dataclasses import replace

import pytest

from enclave_worker.driver import Driver, Load
from enclave_worker.telemetry import Telemetry
from enclave_worker.vitals import Vitals, resident
from wire.report import Report

MIB = 1 << 20


class FakeDriver(Driver):
    """Says what the test lets it say."""

    def __init__(self) -> None:
        self.now = Load(0, 0.0, 0, 0)

    def load(self) -> Load:
        """What the test says."""
        return self.now


class World:
    """Telemetry of a batch of 64, every 60 s, under a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.driver = FakeDriver()
        self.vitals = Vitals(ready=True, restarts=0, resident=100 * MIB)
        self.telemetry = Telemetry(self.driver, lambda: self.vitals, batch=64, interval=60.0, clock=lambda: self.now)

    def after(self, seconds: float, **changes: float) -> Report | None:
        """The latest report, after so many seconds in which the load changed."""
        self.now += seconds
        self.driver.now = replace(self.driver.now, **changes)  # type: ignore[arg-type]
        return self.telemetry.latest()


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


def test_there_is_none_before_a_whole_interval_and_then_one_for_all(world: World) -> None:
    """Who asks more often gets the same object."""
    assert world.after(59.9) is None
    first = world.after(0.1)
    assert first is not None
    assert world.after(59.9) is first
    assert world.after(0.1) is not first


def test_asking_late_makes_the_next_window_no_shorter(world: World) -> None:
    """A parent that connects at 59 s of a window must not get one of a second."""
    late = world.after(119.0)
    assert world.after(1.0) is late
    assert world.after(58.9) is late
    assert world.after(0.1) is not late


def test_figures_are_means_over_the_window(world: World) -> None:
    """Tokens and filled places since the last report, and what is there now."""
    assert world.after(60, tokens=6000, sequence_seconds=60 * 20.0, accepted=100, waiting=40) == Report(
        ready=True, tokens=5, occupancy=3, sequences=5, waiting=4, restarts=0, memory=2
    )
    world.vitals = Vitals(ready=False, restarts=3, resident=0)
    assert world.after(60, accepted=0, waiting=0) == Report(
        ready=False, tokens=0, occupancy=0, sequences=0, waiting=0, restarts=3, memory=0
    )


def test_a_record_alone_shows_as_eight_may(world: World) -> None:
    """Its length does not show: 1 token and 480 look alike, and so do a second and a minute of its running."""
    short = world.after(60, tokens=1, sequence_seconds=1.0, accepted=1)
    long = world.after(60, tokens=481, sequence_seconds=61.0, accepted=1)
    assert short == long


def test_resident_memory_is_that_of_a_process() -> None:
    """This one has some, and one that has ended has none."""
    assert resident(os.getpid()) > 10 * MIB
    assert resident(2**22 + 1) == 0
