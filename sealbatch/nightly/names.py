"""The names that a file's answers and reports get, which no other file of the run has."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath
from typing import Final

from sealbatch.nightly.records import ItemRecords

LONGEST: Final = 180
"""Bytes of a name before its endings are added; a file system takes 255."""


@dataclass(frozen=True, slots=True)
class FileNames:
    """`moved` is the input's name in `done/` or `failed/`; `answers` and `report` go with it."""

    moved: str
    answers: str
    report: str


def own_names(records: ItemRecords, name: str) -> FileNames:
    """The names of the file `name`, claimed for it: a second file of that name in the same run gets `-2` in its own.

    Raises:
        OSError: the claim cannot be written.
    """
    path = PurePath(name)
    stem, suffix = _cut(path.stem), path.suffix[:16]
    number = 0
    while True:
        number += 1
        own = stem if number == 1 else f"{stem}-{number}"
        claim = f"runs/{records.run}/names/{sha256(f'{own}{suffix}'.encode()).hexdigest()[:32]}"
        first = records.shelf.put_new(claim, {"item": records.item})
        if first or (records.shelf.get(claim) or {}).get("item") == records.item:
            table = suffix.lower() in {".csv", ".tsv"}
            return FileNames(
                f"{own}{suffix}", f"{own}.answers{'.csv' if table else '.jsonl'}", f"{own}{suffix}.report.json"
            )


def _cut(stem: str) -> str:
    data = stem.encode(errors="surrogateescape")
    return stem if len(data) <= LONGEST else data[:LONGEST].decode(errors="ignore")
