"""OpenAI's objects: what a batch, a list and a batch's errors look like."""

from collections.abc import Callable, Sequence
from typing import Any

from sealbatch.serve.api_error import missing
from sealbatch.serve.batch_fields import ENDPOINT


def page(
    names: list[str], after: str | None, limit: int, describe: Callable[[list[str]], Sequence[dict[str, Any]]]
) -> dict[str, Any]:
    """OpenAI's list object: what comes `after`, at most `limit` of it. `describe` may leave some out.

    Raises:
        ApiError: `after` is none of them.
    """
    if after is not None and after not in names:
        raise missing("object", after, "after")
    rest = names if after is None else names[names.index(after) + 1 :]
    data: list[dict[str, Any]] = []
    looked = 0
    while len(data) < limit and looked < len(rest):
        some = rest[looked : looked + limit - len(data)]
        data += describe(some)
        looked += len(some)
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": looked < len(rest),
    }


def make_batch(name: str, created: int, said: dict[str, Any]) -> dict[str, Any]:
    """A batch of which no more is known than its id, when it was made, and what was `said` of it."""
    states = ("cancelled", "cancelling", "completed", "expired", "failed", "finalizing", "in_progress")
    return {
        "id": name,
        "object": "batch",
        "endpoint": ENDPOINT,
        "errors": None,
        "created_at": created,
        "expires_at": None,
        "output_file_id": None,
        "error_file_id": None,
        **dict.fromkeys(f"{state}_at" for state in states),
        **said,
    }


def make_counts(total: int, completed: int, failed: int) -> dict[str, int]:
    """Counts of requests."""
    return {"total": total, "completed": completed, "failed": failed}


def make_usage(read: int, written: int) -> dict[str, Any]:
    """Counts of tokens."""
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }


def make_errors(*problems: dict[str, Any]) -> dict[str, Any]:
    """What is wrong with a batch."""
    return {"object": "list", "data": [{"line": None, "param": None, **problem} for problem in problems]}
