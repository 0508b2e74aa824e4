"""Finds the line of a TOML file on which a value stands: the standard library's reader does not say."""

import re
from typing import Final

Place = tuple[str | int, ...]

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)


class TomlLines:
    """The places of keys and tables in the text of a file that `tomllib` reads without fault.

    A key inside a value of several lines may be taken for one of the table's; a place that is found nowhere has the
    line of what it is part of.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Place, int] = {}
        table: Place = ()
        counts: dict[Place, int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if (header := _HEADER.match(line)) is not None:
                table = self._open(_parts(header[2]), counts, many=header[1] == "[[")
                self._lines.setdefault(table, number)
            elif (key := _KEY.match(line)) is not None:
                self._lines.setdefault(table + _parts(key[1]), number)

    def line(self, place: Place) -> int:
        """The line of `place`, from 1; that of the innermost part that has one, else 1."""
        for end in range(len(place), 0, -1):
            if (found := self._lines.get(place[:end])) is not None:
                return found
        return 1

    def _open(self, names: Place, counts: dict[Place, int], *, many: bool) -> Place:
        """The table that a header opens, with the number of the element wherever it goes through an array."""
        table: Place = ()
        for at, name in enumerate(names):
            table = (*table, name)
            last = at == len(names) - 1
            if many and last:
                counts[table] = counts.get(table, -1) + 1
            if table in counts:
                table = (*table, counts[table])
        return table


def _parts(dotted: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
