"""What holds for every test."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A busy machine fails no test: no example has a deadline, and slow ones are not counted.
settings.register_profile("sealbatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sealbatch")


@pytest.fixture(autouse=True)
def log_level_as_it_was() -> Iterator[None]:
    """A command that runs in this process sets the level of our logger: later tests find it as it was."""
    logger = logging.getLogger("sealbatch")
    level = logger.level
    yield
    logger.setLevel(level)
