"""A real stack for the whole run: AWS stand-in, enclave and bridge, each a process of its own."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from command import Typist

from devstack.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack that most tests share."""
    with Stack(tmp_path_factory.mktemp("endtoend") / "stack") as stack:
        yield stack


@pytest.fixture
def typist(stack: Stack, tmp_path: Path) -> Typist:
    """A user of the shared stack with an empty home."""
    return Typist(tmp_path, stack.config)


@pytest.fixture
def bucket(stack: Stack) -> Any:
    """The bucket, with the rights of an attacker who owns the account."""
    session = boto3.session.Session("root", "root", region_name="eu-central-1")
    name = tomllib.loads(stack.config.read_text())["bucket"]
    return session.resource("s3", endpoint_url=stack.endpoint).Bucket(name)
