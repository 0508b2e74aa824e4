"""The inbox of a schedule: what is ready in it, and how a file becomes a run's and no other's.

A file is taken by one rename into a folder that nobody else knows: whoever renames it has it, and nothing is ever
written over. From then on the name in the inbox is free for the next file.
"""

import secrets
import shutil
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

UNFINISHED: Final = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", "~")
"""How the names of files end that some program is still writing."""
OWN: Final = ".sealbatch"
DONE: Final = "done"
FAILED: Final = "failed"


class FolderInbox:
    """A directory. Every method raises OSError if the file system fails."""

    def __init__(self, root: Path, schedule: str) -> None:
        self.root = root
        self.own = root / OWN / schedule

    def waiting(self) -> Iterator[str]:
        """Names of files that somebody dropped, whether they are complete or not."""
        for path in sorted(self.root.iterdir()):
            hidden = path.name.startswith(".") or path.name.lower().endswith(UNFINISHED)
            if not hidden and stat.S_ISREG(path.lstat().st_mode):
                yield path.name

    def ready(self, now: datetime, settle: timedelta) -> list[str]:
        """Names of files that have not changed for `settle`."""
        limit = (now - settle).timestamp()
        found = []
        for name in self.waiting():
            try:
                changed = (self.root / name).stat().st_mtime
            except FileNotFoundError:
                continue
            if changed <= limit:
                found.append(name)
        return found

    def take(self, name: str, run: str) -> str | None:
        """Make a file the run's: the id under which it is kept from now on, or None if somebody else has it."""
        item = secrets.token_hex(6)
        folder = self._input(run, item)
        folder.mkdir(mode=0o700, parents=True)
        try:
            (self.root / name).rename(folder / name)
        except FileNotFoundError:
            folder.rmdir()
            folder.parent.rmdir()
            return None
        return item

    def find(self, run: str, item: str) -> Path | None:
        """The file that was taken as `item`, or None if it was moved on."""
        try:
            return next(iter(sorted(self._input(run, item).iterdir())), None)
        except FileNotFoundError:
            return None

    def move(self, run: str, item: str, name: str, *, done: bool) -> Path:
        """Move a taken file to `done/` or `failed/` under `name`, which is the item's alone; where it is now."""
        target = self.finished(run, name, done=done)
        found = self.find(run, item)
        if found is not None:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            found.rename(target)
        return target

    def sealed(self, run: str, item: str, name: str) -> Path:
        """Where sealed bytes of a taken file lie until they are sent."""
        return self.own / "runs" / run / "items" / item / "sealed" / name

    def forget_sealed(self, run: str, item: str) -> None:
        """Remove them."""
        shutil.rmtree(self.sealed(run, item, "x").parent, ignore_errors=True)

    def finished(self, run: str, name: str, *, done: bool) -> Path:
        """Where a finished file lies."""
        return self.root / (DONE if done else FAILED) / run / name

    def _input(self, run: str, item: str) -> Path:
        return self.own / "runs" / run / "items" / item / "input"
