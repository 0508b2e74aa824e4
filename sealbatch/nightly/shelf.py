"""Small records of what was done, each written once and whole: the memory that Celery and Redis are not.

A record's name is a path of plain parts. Records of different machines meet here, so the first writer of a name wins
and everyone else learns that it was not the first.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sealbatch.private_file import flush_to_disk, private_part

Record = dict[str, Any]


class Shelf:
    """Records as JSON files in a folder of a local or shared file system, for their owner's eyes.

    Every method raises OSError if the file system fails.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_new(self, name: str, record: Mapping[str, Any]) -> bool:
        """Write a record unless there is one of that name; whether it was written."""
        with self._written(name, record) as part:
            try:
                self._path(name).hardlink_to(part)  # atomic, and fails where the name is taken
            except FileExistsError:
                return False
        return True

    def put(self, name: str, record: Mapping[str, Any]) -> None:
        """Write a record over whatever is there: for notes that only help and decide nothing."""
        with self._written(name, record) as part:
            part.replace(self._path(name))

    def get(self, name: str) -> Record | None:
        """The record, or None."""
        try:
            record: Record = json.loads(self._path(name).read_bytes())
        except FileNotFoundError:
            return None
        return record

    def names(self, folder: str) -> list[str]:
        """The names directly in `folder`, sorted; those of folders too."""
        try:
            found = [path.name for path in (self.root / folder).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name.removesuffix(".json") for name in found if not name.startswith("."))

    def remove(self, name: str) -> None:
        """Remove a record if it is there."""
        self._path(name).unlink(missing_ok=True)

    def remove_all(self, folder: str) -> None:
        """Remove a folder with everything in it, if it is there."""
        try:
            shutil.rmtree(self.root / folder)
        except FileNotFoundError:
            return  # or somebody else is at it

    def _path(self, name: str) -> Path:
        return self.root / f"{name}.json"

    @contextmanager
    def _written(self, name: str, record: Mapping[str, Any]) -> Iterator[Path]:
        """The record in a file of a name that nobody looks for, on disk."""
        folder = self._path(name).parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with private_part(folder) as (file, part):
            file.write(json.dumps(record, ensure_ascii=False, sort_keys=True).encode())
            flush_to_disk(file)
            yield part
