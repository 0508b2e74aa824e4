"""`python one_role.py EXTRA WORDS...` types `sealbatch WORDS` where, as it seems, nothing but one extra is installed.

Which distributions an extra brings is read from pyproject.toml and, from there on, from what each of them requires.
`python one_role.py EXTRA -c CODE` runs a line of Python there instead.
"""

import importlib.abc
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "sealbatch"


def distributions(extra: str) -> set[str]:
    """What `pip install sealbatch[EXTRA]` brings, by canonical name."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(f"{OURS}[{extra}]")]
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(name)
        if name == OURS:
            chosen = [project["optional-dependencies"][one] for one in extras]
            waiting += [Requirement(line) for lines in (project["dependencies"], *chosen) for line in lines]
        else:
            waiting += [one for one in map(Requirement, metadata.requires(name) or ()) if _applies(one, extras)]
    return found


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


class Absent(importlib.abc.MetaPathFinder):
    """Finds no module of a distribution that is not there."""

    def __init__(self, modules: set[str]) -> None:
        self._modules = modules

    def find_spec(self, name: str, *_: object) -> None:
        """As for a module that is not installed."""
        if name.partition(".")[0] in self._modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def pretend(extra: str) -> None:
    """From here on, only what the extra brings can be imported, and only that is listed as installed."""
    there = distributions(extra)
    absent = {
        module
        for module, names in metadata.packages_distributions().items()
        if not there & {canonicalize_name(name) for name in names}
    }
    for name in [name for name in sys.modules if name.partition(".")[0] in absent]:
        del sys.modules[name]
    sys.meta_path.insert(0, Absent(absent))
    distribution = metadata.distribution

    def listed(name: str) -> metadata.Distribution:
        if canonicalize_name(name) not in there:
            raise metadata.PackageNotFoundError(name)
        return distribution(name)

    metadata.distribution = listed


def main() -> NoReturn:
    """Type it."""
    extra, *words = sys.argv[1:]
    pretend(extra)
    if words[0] == "-c":
        exec(words[1], {})  # noqa: S102 - the test's own line
        sys.exit(0)
    from sealbatch.__main__ import main as sealbatch

    sys.argv = ["sealbatch", *words]
    sealbatch()
    raise AssertionError("the command ends by exiting")


if __name__ == "__main__":
    main()
