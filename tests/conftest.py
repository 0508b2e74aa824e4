"""What holds for every test."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import producer.publish

# A busy machine fails no test: no example has a deadline, and slow ones are not counted.
settings.register_profile("sealbatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sealbatch")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What a test sets for the whole process is set back: our logger's level, by a command that ran in it; a clock."""
    logger, time = logging.getLogger("sealbatch"), producer.publish.time
    level = logger.level
    yield
    logger.setLevel(level)
    producer.publish.time = time
