"""Reads Python wheels: zip archives whose members lie where Python's import finds them."""

import zipfile
from collections.abc import Callable
from pathlib import Path

from sealbatch.image.stage import Stage, StageError


def unpack_wheel(wheel: Path, stage: Stage, folder: str, wanted: Callable[[str], bool]) -> None:
    """Put members of a wheel for which `wanted` holds, by their names in the wheel, below `folder`.

    Raises:
        StageError: the wheel is malformed. OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                if member.is_dir() or not wanted(member.filename):
                    continue
                executable = bool(member.external_attr >> 16 & 0o100)
                stage.file(f"{folder}/{member.filename}", archive.read(member), executable=executable)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise StageError(f"{wheel.name}: {type(error).__name__}: not a wheel that can be read") from None
