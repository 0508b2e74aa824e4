"""The configuration as somebody may see it: known settings by their value, all others as being set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sealbatch.config import Config

SET: Final = "(set)"
_SHOWN: Final = (
    "tenant",
    "region",
    "bucket",
    "queue_url",
    "dead_letter_url",
    "question_key",
    "answer_key",
    "image",
    "endpoint_url",
)
_NIGHTLY: Final = ("tick", "lost_after", "max_attempts", "keep_runs")
_SCHEDULE: Final = ("name", "cron", "time_zone", "deadline", "settle", "pick_up_for", "tenant")
_PARAMETERS: Final = ("max_tokens", "temperature", "seed", "chunk_size", "skip_invalid", "format")
_KINDS: Final = ("command", "webhook", "sns_topic")


def shown(config: Config) -> dict[str, Any]:
    """What is configured, and where."""
    resources = config.resources
    values = resources.model_dump(exclude_none=True, exclude={"nightly", "schedules", "profiles"})
    return {
        "source": Path(config.source).name,
        "development": config.development,
        **_picked(values, _SHOWN),
        "profiles": {role: SET for role, name in resources.profiles if name is not None},
        "nightly": _nightly(resources.nightly),
        "schedules": [_schedule(schedule) for schedule in resources.schedules],
    }


def _picked(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Those of these names as they are, if they are short; of the others that they are set."""
    plain = str | int | float
    return {
        name: value if name in names and isinstance(value, plain) and len(str(value)) <= 256 else SET
        for name, value in values.items()
    }


def _nightly(values: Mapping[str, Any]) -> dict[str, Any]:
    found = _picked(values, _NIGHTLY)
    if "redis_url" in values:
        found["redis_url"] = f"{urlsplit(str(values['redis_url'])).scheme}://{SET}"
    return found


def _schedule(values: Mapping[str, Any]) -> dict[str, Any]:
    found = _picked(values, _SCHEDULE)
    for name in ("inbox", "answers", "work"):
        if name in values:
            found[name] = "s3" if str(values[name]).startswith("s3://") else "folder"
    if isinstance(parameters := values.get("parameters"), dict):
        found["parameters"] = _picked(parameters, _PARAMETERS)
    if isinstance(tell := values.get("tell"), list):
        found["tell"] = [kind for whom in tell for kind in _KINDS if isinstance(whom, dict) and kind in whom]
    return found
