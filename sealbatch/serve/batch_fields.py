"""The fields of a request for a batch, and how they are refused where they cannot be had."""

from typing import Any, Final

from sealbatch.serve.api_error import ApiError

ENDPOINT: Final = "/v1/chat/completions"
_FIELDS: Final = frozenset({"input_file_id", "endpoint", "completion_window", "metadata"})


def check_fields(fields: dict[str, Any]) -> str:
    """The file that a batch is asked for.

    Raises:
        ApiError: a field is missing, unknown or wrong.
    """
    for name, value in fields.items():
        if name not in _FIELDS and value is not None:
            raise ApiError(400, f"{name[:100]} is not supported.", code="unknown_parameter", param=name[:100])
    if fields.get("endpoint") != ENDPOINT:
        raise ApiError(400, f"endpoint must be {ENDPOINT}.", code="invalid_value", param="endpoint")
    file = fields.get("input_file_id")
    if not isinstance(file, str):
        raise ApiError(400, "input_file_id must be a file's id.", code="invalid_value", param="input_file_id")
    return file


def read_window(fields: dict[str, Any]) -> str:
    """The span after which what has no answer is expired; whether it is one, `Client.submit` says.

    Raises:
        ApiError: it is no text.
    """
    window = fields.get("completion_window")
    if not isinstance(window, str):
        message = "completion_window must be a span such as 24h."
        raise ApiError(400, message, code="invalid_value", param="completion_window")
    return window


def read_metadata(value: Any) -> dict[str, str] | None:
    """What the client wants to be told again.

    Raises:
        ApiError: it is too much, or no text.
    """
    if value is None:
        return None
    pairs = list(value.items()) if isinstance(value, dict) else [("", None)]
    if len(pairs) > 16 or not all(isinstance(v, str) and len(v) <= 512 and len(k) <= 64 for k, v in pairs):
        message = "metadata: at most 16 pairs of text, of 64 and 512 characters."
        raise ApiError(400, message, code="invalid_value", param="metadata")
    return dict(value)
