"""The schedules of a configuration, read strictly, and every fault with its line."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from sealbatch.config import Config, ConfigError
from sealbatch.nightly.schedule import NightlySettings, Schedule
from sealbatch.nightly.toml_lines import Place, TomlLines

M = TypeVar("M", NightlySettings, Schedule)

ERROR: Final = "error"
WARNING: Final = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong or doubtful, on which line; `schedule` is the schedule's name, or empty."""

    line: int
    level: str
    schedule: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All schedules and what they share; `lines` finds a setting in the file at `source`."""

    config: Config
    settings: NightlySettings
    schedules: tuple[Schedule, ...]
    lines: TomlLines

    def schedule(self, name: str) -> Schedule:
        """The schedule of that name.

        Raises:
            ConfigError: there is none.
        """
        for schedule in self.schedules:
            if schedule.name == name:
                return schedule
        known = ", ".join(schedule.name for schedule in self.schedules) or "none"
        raise ConfigError(f"{self.config.source}: there is no schedule {name}; there is {known}")


class PlanError(ConfigError):
    """The schedules are wrong; `findings` has all that is."""

    def __init__(self, source: str, findings: list[Finding]) -> None:
        first = findings[0]
        more = f" (and {len(findings) - 1} more; `sealbatch schedule check` lists them)" if len(findings) > 1 else ""
        super().__init__(f"{source}:{first.line}: {first.message}{more}")
        self.findings = findings


def read_plan(config: Config) -> Plan:
    """The schedules of `config`.

    Raises:
        PlanError: something in them is wrong.
        ConfigError: there are none.
    """
    text = _text(config.source)
    lines = TomlLines(text)
    findings: list[Finding] = []
    settings = _read(NightlySettings, config.resources.nightly, ("nightly",), lines, findings)
    schedules = [
        _read(Schedule, values, ("schedules", at), lines, findings)
        for at, values in enumerate(config.resources.schedules)
    ]
    found = [schedule for schedule in schedules if schedule is not None]
    names: set[str] = set()
    for at, schedule in enumerate(schedules):
        if schedule is None:
            continue
        if schedule.name in names:
            line = lines.line(("schedules", at, "name"))
            findings.append(Finding(line, ERROR, schedule.name, "name: stands twice"))
        names.add(schedule.name)
    if findings:
        raise PlanError(config.source, sorted(findings, key=lambda finding: finding.line))
    if not found or settings is None:
        raise ConfigError(f"{config.source}: it has no schedule; add a [[schedules]] table")
    return Plan(config, settings, tuple(found), lines)


def _read(
    model: type[M], values: Any, place: tuple[str | int, ...], lines: TomlLines, findings: list[Finding]
) -> M | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        name = values.get("name") if isinstance(values, dict) else None
        for problem in error.errors(include_input=False, include_url=False):
            where: Place = tuple(part for part in problem["loc"] if part != "function-before")
            message = f"{'.'.join(str(part) for part in where) or place[0]}: {_plain(problem)}"
            line = lines.line((*place, *where))
            findings.append(Finding(line, ERROR, name if isinstance(name, str) else "", message))
        return None


def _plain(problem: Any) -> str:
    """Pydantic's reason without its habits."""
    match problem["type"]:
        case "extra_forbidden":
            return "no such setting"
        case "missing":
            return "is missing"
        case "string_pattern_mismatch":
            return "does not look as it must"
        case "value_error":
            return str(problem["ctx"]["error"])
        case _:
            return str(problem["msg"]).lower()


def _text(source: str) -> str:
    try:
        text = Path(source).read_text(encoding="utf-8")
        tomllib.loads(text)
    except (OSError, ValueError):
        return ""
    return text
