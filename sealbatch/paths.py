"""Where Sealbatch keeps its own files, after the XDG base directory specification. None of them holds content."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

CONFIG_NAME: Final = "sealbatch.toml"
PREFIX: Final = "SEALBATCH_"


def state_folder() -> Path:
    """Tickets, and the development stack."""
    return _base("XDG_STATE_HOME", ".local/state") / "sealbatch"


def cache_folder() -> Path:
    """What can be fetched again."""
    return _base("XDG_CACHE_HOME", ".cache") / "sealbatch"


def user_config() -> Path:
    """The user's own configuration file."""
    return _base("XDG_CONFIG_HOME", ".config") / "sealbatch" / "config.toml"


def dev_folder() -> Path:
    """The development stack's folder; `SEALBATCH_DEV_HOME` names another."""
    named = os.environ.get("SEALBATCH_DEV_HOME")
    return Path(named) if named else state_folder() / "dev"


def config_file(named: Path | None, environ: Mapping[str, str]) -> tuple[Path | None, bool]:
    """The configuration to read, if there is any, and whether it is a running development stack's own."""
    if named is None and environ.get(PREFIX + "CONFIG"):
        named = Path(environ[PREFIX + "CONFIG"])
    if named is not None:
        return named, False
    for candidate in (Path(CONFIG_NAME), user_config()):
        if candidate.is_file():
            return candidate, False
    stack = dev_folder() / CONFIG_NAME
    return (stack, True) if stack.is_file() else (None, False)


def _base(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The specification says that a relative path is to be ignored.
    return Path(value) if value.startswith("/") else Path.home() / default
