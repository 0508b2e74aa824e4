"""What each role installs: the extras of pyproject.toml, read from the installed package's own metadata.

Needs no package but `sealbatch` itself, so that it can speak where everything else is missing.
"""

import re
from importlib import metadata
from typing import Final

from wire.errors import SealbatchError

FACE: Final = "auditor"
"""The smallest extra that has the command; every role that types it includes it."""
ROLES: Final = ("asker", "reader", "auditor", "bridge", "nightly", "dev")
OF_VERBS: Final = {
    "auditor": ("validate", "verify", "plan", "completion", "support-bundle"),
    "asker": ("run", "ask", "submit", "cancel", "retry", "purge", "sweep"),
    "reader": ("status", "wait", "fetch", "list", "doctor"),
    "serve": ("serve",),
    "bridge": ("bridge",),
    "nightly": ("worker", "beat", "top"),
}
"""What a verb needs before it begins. One with verbs of its own asks for itself, where it knows which of them it is."""
_NAMED: Final = 3
_REQUIREMENT: Final = re.compile(r"""([A-Za-z0-9._-]+)[^;]*;.*\bextra\s*==\s*['"]([a-z-]+)['"]""")


def missing(extra: str) -> list[str]:
    """The distributions of an extra that are not installed."""
    found = (_REQUIREMENT.match(requirement) for requirement in metadata.requires("sealbatch") or ())
    return sorted(match[1] for match in found if match and match[2] == extra and not _installed(match[1]))


class NotInstalledError(SealbatchError, ImportError):
    """What was asked for needs something that is not installed: `what` says which, and `then` how to install it."""

    def __init__(self, absent: list[str], then: str) -> None:
        self.what = f"{_enumerated(absent)} not installed"
        self.then = then
        super().__init__(f"{self.what}: {then}")


def need(extra: str) -> None:
    """Nothing, if the extra is installed.

    Raises:
        NotInstalledError: it is not, or not whole.
    """
    if absent := missing(extra):
        raise NotInstalledError(absent, f"pip install 'sealbatch[{extra}]'")


def need_for(verb: str) -> None:
    """As `need`, for what a verb needs before it begins."""
    for extra, verbs in OF_VERBS.items():
        if verb in verbs:
            need(extra)


def need_face() -> None:
    """Nothing, if the command can run at all.

    Raises:
        NotInstalledError: no role was installed.
    """
    if absent := missing(FACE):
        roles = f"{', '.join(ROLES[:-1])} or {ROLES[-1]}"
        raise NotInstalledError(absent, f"pip install 'sealbatch[ROLE]', ROLE being {roles}")


def _installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _enumerated(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is"
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more are"
    return f"{', '.join(names[:-1])} and {names[-1]} are"
