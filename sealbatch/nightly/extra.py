"""Whether what nightly jobs need beside the rest is installed; importing this needs none of it."""

import importlib.util

from sealbatch.exits import Exit
from sealbatch.faults import Stop


def need_nightly() -> None:
    """Nothing, if it is installed.

    Raises:
        Stop: it is not.
    """
    if any(importlib.util.find_spec(name) is None for name in ("celery", "cronsim", "redis")):
        raise Stop(Exit.CONFIGURATION, "nightly jobs are not installed", "pip install 'sealbatch[nightly]'")
