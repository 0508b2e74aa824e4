"""What a test reads off the stack: the calls KMS was asked, and the lines a verb put out."""

import json
import urllib.request
from typing import Any

from devstack.stack import Stack


def kms_calls(stack: Stack) -> dict[str, Any]:
    """What the KMS stand-in was asked so far, by operation."""
    with urllib.request.urlopen(f"{stack.endpoint}/_sealbatch/kms-calls", timeout=10) as reply:  # noqa: S310 - ours
        calls: dict[str, Any] = json.load(reply)
    return calls


def outcome_lines(data: bytes) -> list[dict[str, Any]]:
    """JSON lines of output."""
    return [json.loads(line) for line in data.splitlines()]
