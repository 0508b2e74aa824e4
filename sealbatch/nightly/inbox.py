"""The inbox of a schedule: what is ready in it, and how a file becomes a run's and no other's.

From a folder, a file is taken by one rename into a folder that nobody else knows: whoever renames it has it, and
nothing is ever written over. From then on the name in the inbox is free for the next file.
"""

import secrets
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from io import BufferedReader
from pathlib import Path
from typing import Final

from sealbatch.nightly.schedule import OWN
from sealbatch.private_file import write_private

UNFINISHED: Final = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", "~")
"""How the names of files end that some program is still writing."""
DONE: Final = "done"
FAILED: Final = "failed"


class Input:
    """A file that was taken: its name in the inbox and its size in bytes, both as its writer knows them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """Its name."""
        return self.path.name

    @property
    def size(self) -> int:
        """How many bytes are read from it.

        Raises:
            OSError: the file system fails.
            SealedFileError: it is not what its name says.
        """
        return self.path.stat().st_size

    def open(self) -> AbstractContextManager[BufferedReader]:
        """Its bytes, from the first; they may be read from any place.

        Raises:
            ServiceError: the key that opens it is not to be had.
            OSError, SealedFileError: as `size`.
        """
        return self.path.open("rb")


class Inbox(ABC):
    """Where a schedule's files come from, and where they go when they are finished.

    Taken files and sealed bytes lie in `own`, the schedule's folder beside its records. Every method raises OSError if
    the file system fails, and ServiceError if AWS does.
    """

    def __init__(self, own: Path) -> None:
        self.own = own

    @abstractmethod
    def waiting(self) -> list[str]:
        """Names of what somebody dropped, whether it is complete or not."""

    @abstractmethod
    def ready(self, now: datetime, settle: timedelta) -> list[str]:
        """Those of them that have not changed for `settle`."""

    @abstractmethod
    def take(self, name: str, run: str) -> tuple[str, str] | None:
        """Make a file the run's, or another's that lost its worker over it.

        Returns:
            That run, and the id under which it keeps the file from now on; None if somebody else has it.
        """

    @abstractmethod
    def finish(self, run: str, item: str, name: str, report: tuple[str, str], *, done: bool) -> None:
        """Move a taken file to `done/` or `failed/` under `name`, and put `report`, its name and text, beside it."""

    @abstractmethod
    def finished(self, run: str, name: str, *, done: bool) -> str:
        """Where a finished file lies."""

    def find(self, run: str, item: str) -> Input | None:
        """The file that was taken as `item`, or None if it was moved on."""
        try:
            return next((Input(path) for path in sorted(self.place(run, item).iterdir())), None)
        except FileNotFoundError:
            return None

    def place(self, run: str, item: str) -> Path:
        """The folder of a taken file."""
        return self.own / "runs" / run / "items" / item / "input"

    def sealed(self, run: str, item: str, name: str) -> Path:
        """Where sealed bytes of a taken file lie until they are sent."""
        return self.place(run, item).with_name("sealed") / name

    def forget_sealed(self, run: str, item: str) -> None:
        """Remove them."""
        shutil.rmtree(self.place(run, item).with_name("sealed"), ignore_errors=True)


class FolderInbox(Inbox):
    """A directory."""

    def __init__(self, root: Path, schedule: str) -> None:
        super().__init__(root / OWN / schedule)
        self.root = root

    def waiting(self) -> list[str]:
        """Names of files that somebody dropped, whether they are complete or not."""
        return list(self._dropped())

    def ready(self, now: datetime, settle: timedelta) -> list[str]:
        """Names of files that have not changed for `settle`."""
        limit = (now - settle).timestamp()
        found = []
        for name in self._dropped():
            try:
                changed = (self.root / name).stat().st_mtime
            except FileNotFoundError:
                continue
            if changed <= limit:
                found.append(name)
        return found

    def take(self, name: str, run: str) -> tuple[str, str] | None:
        """Make a file the run's."""
        item = secrets.token_hex(6)
        folder = self.place(run, item)
        folder.mkdir(mode=0o700, parents=True)
        try:
            (self.root / name).rename(folder / name)
        except FileNotFoundError:
            folder.rmdir()
            folder.parent.rmdir()
            return None
        return run, item

    def finish(self, run: str, item: str, name: str, report: tuple[str, str], *, done: bool) -> None:
        """Move a taken file to `done/` or `failed/`; `name` is the item's alone."""
        target = Path(self.finished(run, name, done=done))
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(target.with_name(report[0]), report[1])
        if (found := self.find(run, item)) is not None:
            found.path.rename(target)

    def finished(self, run: str, name: str, *, done: bool) -> str:
        """Where a finished file lies."""
        return str(self.root / (DONE if done else FAILED) / run / name)

    def _dropped(self) -> Iterator[str]:
        for path in sorted(self.root.iterdir()):
            if not unfinished(path.name) and stat.S_ISREG(path.lstat().st_mode):
                yield path.name


def unfinished(name: str) -> bool:
    """Whether a file's name says that some program still writes it, or that it is nobody's question."""
    return name.startswith(".") or name.lower().endswith(UNFINISHED)
