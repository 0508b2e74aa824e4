"""What tests of several files begin with: a server in place of AWS, or a simulated night that has its own clock."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from job_factory import Aws
    from night_world import World


@pytest.fixture(scope="module", autouse=True)
def simulate(request: pytest.FixtureRequest) -> Iterator[None]:
    """In modules with a simulated world: its jobs and receipts are of its time, and its disk is as fast as memory."""
    world = getattr(request.module, "World", None)
    if world is None or world.__module__ != "night_world":
        yield
        return
    from night_world import StartOfTime

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("producer.publish.time", StartOfTime)
        # Nobody cuts the power of a simulated night; that records are on disk first, test_nightly_private.py sees.
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def aws() -> "Iterator[Aws]":
    """One server for the file; every test makes a job of its own."""
    from job_factory import aws_server

    with aws_server() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> "World":
    """A schedule that has been seen, before its first firing, with nothing in its inbox."""
    from night_world import World

    world = World(tmp_path)
    world.tick()
    return world
