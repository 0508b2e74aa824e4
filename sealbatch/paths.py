"""Where Sealbatch keeps its own files, after the XDG base directory specification. None of them holds content."""

import os
from pathlib import Path


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


def _base(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The specification says that a relative path is to be ignored.
    return Path(value) if value.startswith("/") else Path.home() / default
