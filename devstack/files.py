"""Files of the development folder: written whole or not at all, and for their owner's eyes."""

import os
import tempfile
from pathlib import Path
from typing import Final

PRIVATE_FOLDER: Final = 0o700


def write_private(path: Path, data: bytes) -> None:
    """Write `path` with mode 0600 so that a reader sees the old content or all of the new.

    Raises:
        OSError: the folder is missing or not writable.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
