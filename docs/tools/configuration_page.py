"""The page of the configuration, from the models that read it. What a setting means stands beside it in the code."""

import dataclasses
import inspect
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from fields import docs_of
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from enclave_worker.settings import Settings
from sealbatch.config import Profiles, Resources
from sealbatch.nightly.schedule import NightlySettings, Schedule, ScheduleParameters, Tell
from sealbatch.paths import PREFIX
from wire.names import IMAGE, KEY_ARN

HEAD: Final = f"""# Configuration

A setting comes from the first of these that has it:

1. the command line: `--set NAME=VALUE` before the verb;
2. the environment: `{PREFIX}NAME`, in capitals;
3. one file in [TOML](https://toml.io): that of `--config FILE`, else of `{PREFIX}CONFIG`, else `./sealbatch.toml`, else
   `~/.config/sealbatch/config.toml`, else that of a development stack which runs (`sealbatch dev up`);
4. the default in the tables below.

A setting that does not exist, or has a wrong type, is refused with its line; nothing is sent then, and the exit code is 78. Which settings
a verb needs it says by itself. AWS's own variables and profiles work as everywhere.

```toml
tenant = "benefits"
region = "eu-central-1"
bucket = "sealbatch-benefits"
queue_url = "https://sqs.eu-central-1.amazonaws.com/123456789012/sealbatch-benefits"
question_key = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111"
answer_key = "arn:aws:kms:eu-central-1:123456789012:key/22222222-2222-2222-2222-222222222222"
image = "{"0b24" * 24}"

[profiles]
producer = "sealbatch-producer"
reader = "sealbatch-reader"
```

`--set` and the environment are for the settings of the first table.
"""
ENCLAVE: Final = """## The enclave

What the enclave is set to is part of the measured image, and no option or variable changes it: another value is another image with another
PCR0. The values are those of [`enclave_worker/settings.py`](../../enclave_worker/settings.py); a receipt carries their digest.
"""
OTHERS: Final = """## Other variables

| variable | meaning |
|---|---|
| `SEALBATCH_CONFIG` | the configuration file, where `--config` names none |
| `SEALBATCH_DEV_HOME` | the folder of the development stack, if not `~/.local/state/sealbatch/dev` |
| `SEALBATCH_CLOCK_FILE` | a file whose text is the time, for tests of the nights; never in production |
| `XDG_CONFIG_HOME`, `XDG_STATE_HOME`, `XDG_CACHE_HOME` | where the user's configuration, tickets, and what can be fetched again lie |
| `NO_COLOR` | no colours |
| `TMPDIR` | where sealed chunks lie until they are sent, and sealed alone |
"""
_SHAPES: Final = {KEY_ARN.pattern: "a KMS key's full ARN", IMAGE.pattern: "96 hexadecimal digits"}
_PLAIN: Final = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    timedelta: 'duration, such as `"90s"`, `"15m"`, `"6h"` or `"2d"`',
}


def configuration_page() -> str:
    """The page in Markdown."""
    simple = {name for name in Resources.model_fields if name not in {"profiles", "nightly", "schedules"}}
    parts = [
        HEAD,
        "## Resources\n",
        _table(Resources, simple),
        "## `[profiles]`\n",
        _table(Profiles),
        "## `[nightly]`\n\n" + _summary(NightlySettings),
        _table(NightlySettings),
        "## `[[schedules]]`\n\n" + _summary(Schedule),
        _table(Schedule),
        "### `parameters`\n\n" + _summary(ScheduleParameters),
        _table(ScheduleParameters),
        "### `tell`\n\n" + _summary(Tell),
        _table(Tell),
        ENCLAVE,
        _settings(),
        OTHERS,
    ]
    return "\n".join(parts)


def _summary(model: type) -> str:
    return f"{inspect.cleandoc(model.__doc__ or '')}\n"


def _table(model: type[BaseModel], names: set[str] | None = None) -> str:
    said = docs_of(model)
    rows = ["| setting | takes | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if names is None or name in names:
            rows.append(f"| `{name}` | {_takes(field.annotation, field)} | {_default(field)} | {said[name]} |")
    return "\n".join(rows) + "\n"


def _settings() -> str:
    said = docs_of(Settings)
    rows = ["| setting | value | meaning |", "|---|---|---|"]
    rows += [
        f"| `{field.name}` | {'`/model`' if field.type is Path else _value(field.default)} | {said[field.name]} |"
        for field in dataclasses.fields(Settings)
    ]
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "none" if isinstance(value, BaseModel) or value in (None, ()) else _value(value)


def _value(value: object) -> str:
    match value:
        case timedelta():
            seconds = int(value.total_seconds())
            return next(f"`{seconds // size}{unit}`" for size, unit in _UNITS if seconds % size == 0)
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f"`{value}`"
        case _:
            return f"{value:,}" if isinstance(value, int) else str(value)


_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def _takes(annotation: Any, field: FieldInfo | None = None) -> str:
    """How a value of that type is written."""
    bounds = list(field.metadata if field is not None else ())
    while hasattr(annotation, "__metadata__"):
        for mark in annotation.__metadata__:
            bounds += mark.metadata if isinstance(mark, FieldInfo) else [mark]
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in {Union, UnionType}:
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        return _takes(kinds[0], field)
    if get_origin(annotation) is tuple:
        inner = get_args(annotation)[0]
        return (
            "list of tables" if isinstance(inner, type) and issubclass(inner, BaseModel) else f"list of {_takes(inner)}"
        )
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _bounded(_PLAIN[annotation], annotation, bounds)


def _bounded(plain: str, annotation: type, bounds: list[Any]) -> str:
    if (pattern := _first(bounds, "pattern")) is not None:
        bare = str(pattern).removeprefix("^").removesuffix("$")
        return _SHAPES.get(bare, f"`{bare}`".replace("|", "\\|"))
    least = _first(bounds, "ge")
    most = _first(bounds, "le")
    if annotation is timedelta:
        return plain if least is None else f"{plain}; at least {_value(least)}"
    if least is None:
        return plain
    if most is not None:
        return f"{plain}, {least:,} to {most:,}"
    return f"{plain}, at least {least:,}" if abs(least) < 2**62 else "64-bit number"


def _first(bounds: Iterable[Any], name: str) -> Any:
    return next((getattr(mark, name) for mark in bounds if getattr(mark, name, None) is not None), None)
