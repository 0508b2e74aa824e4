"""A folder in which a root file system is put together before it is archived."""

import shutil
from pathlib import Path, PurePosixPath
from typing import Final

from sealbatch.image import ImageError

_UNSAFE: Final = frozenset({"..", "."})


class StageError(ImageError):
    """Something cannot be put into the image; the text names it and says why."""


class Stage:
    """Files by their absolute name in the image. Two inputs never write the same name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, name: str, data: bytes, *, executable: bool = False) -> None:
        """Put a file there.

        Raises:
            StageError: its name is taken, or leads out of the image.
        """
        path = self._place(name)
        path.write_bytes(data)
        path.chmod(0o755 if executable else 0o644)

    def copy(self, name: str, source: Path) -> None:
        """Put a copy of `source` there.

        Raises:
            StageError: as for `file`. OSError: it cannot be read.
        """
        path = self._place(name)
        shutil.copyfile(source, path)
        path.chmod(0o644)

    def link(self, name: str, target: str) -> None:
        """Put a symbolic link there.

        Raises:
            StageError: as for `file`.
        """
        self._place(name).symlink_to(target)

    def folder(self, name: str) -> None:
        """Make an empty folder."""
        self.path(name).mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where a name of the image lies meanwhile.

        Raises:
            StageError: it leads out of the image.
        """
        pure = PurePosixPath(name)
        if not pure.is_absolute() or _UNSAFE.intersection(pure.parts):
            raise StageError(f"{name}: not an absolute name")
        return self.root.joinpath(*pure.parts[1:])

    def files(self) -> dict[str, int]:
        """Size in bytes of every file by its name; links and folders are left out."""
        found = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        return {f"/{path.relative_to(self.root).as_posix()}": path.stat().st_size for path in found}

    def _place(self, name: str) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A link among the parents could lead out of the stage; nothing here needs one.
        if path.parent.resolve() != self.root.resolve().joinpath(*PurePosixPath(name).parts[1:-1]):
            raise StageError(f"{name}: a folder on its way is a link")
        if path.is_symlink() or path.exists():
            raise StageError(f"{name}: two inputs bring it")
        return path
