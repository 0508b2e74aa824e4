"""Files for their owner's eyes, whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def private_part(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file of mode 0600 in `folder`, under a name that nobody looks for; removed where it is not moved on.

    Whoever writes it calls `flush_to_disk` before giving it the name by which it is looked for.

    Raises:
        OSError: it cannot be made.
    """
    part = folder / f".{secrets.token_hex(8)}.part"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            yield file, part
    finally:
        part.unlink(missing_ok=True)


def flush_to_disk(file: BinaryIO) -> None:
    """What was written is there also after a power cut.

    Raises:
        OSError: it is not.
    """
    file.flush()
    os.fsync(file.fileno())


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600, over one of that name.

    Raises:
        OSError: it cannot be written.
    """
    with private_part(path.parent) as (file, part):
        file.write(text.encode(errors="replace"))
        flush_to_disk(file)
        part.replace(path)
