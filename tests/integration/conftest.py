"""Simulated nights have a clock of their own, and everything that happens in them is dated by it."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def date_jobs_in_simulated_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """In modules with a simulated world: its jobs and receipts are of its time, whatever day it is here."""
    world = getattr(request.module, "World", None)
    if world is None or world.__module__ != "night_world":
        yield
        return
    from night_world import StartOfTime

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("producer.publish.time", StartOfTime)
        yield
