"""What tests of several files begin with: a server in place of AWS, or a simulated night that has its own clock."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from job_factory import Aws
    from night_world import World


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of a moto server. Its account is the whole process's: buckets and queues have names of their own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def aws(moto: str) -> "Aws":
    """What a reader needs of it; every test makes a job of its own."""
    from job_factory import make_aws

    return make_aws(moto)


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
        # Nobody cuts the power of a simulated night; that records are on disk first, test_private_file.py sees.
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture
def world(tmp_path: Path) -> "World":
    """A schedule that has been seen, before its first firing, with nothing in its inbox."""
    from night_world import World

    world = World(tmp_path)
    world.tick()
    return world
