"""A real stack for the whole run: AWS stand-in, enclave and bridge, each a process of its own."""

import json
import urllib.request
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
    import tomllib

    name = tomllib.loads(stack.config.read_text())["bucket"]
    return session.resource("s3", endpoint_url=stack.endpoint).Bucket(name)


def kms_calls(stack: Stack) -> dict[str, Any]:
    """What the KMS stand-in was asked so far, by operation."""
    with urllib.request.urlopen(f"{stack.endpoint}/_sealbatch/kms-calls", timeout=10) as reply:  # noqa: S310 - ours
        calls: dict[str, Any] = json.load(reply)
    return calls


def outcome_lines(data: bytes) -> list[dict[str, Any]]:
    """JSON lines of output."""
    return [json.loads(line) for line in data.splitlines()]
