"""Writes a bundle: a gzipped tar that only its owner may read, whole or not at all."""

import gzip
import io
import os
import secrets
import tarfile
from collections.abc import Mapping
from pathlib import Path


def write(path: Path, folder: str, files: Mapping[str, str]) -> None:
    """Put `files` into `path`, each below `folder`; what is there already stays.

    Raises:
        OSError: it exists, or cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            # Neither the name of the file nor that of the user goes along.
            with (
                gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w") as archive,
            ):
                for name, text in files.items():
                    data = text.encode("utf-8", "replace")
                    entry = tarfile.TarInfo(f"{folder}/{name}")
                    entry.size, entry.mode = len(data), 0o600
                    archive.addfile(entry, io.BytesIO(data))
            raw.flush()
            os.fsync(raw.fileno())
        try:
            path.hardlink_to(part)  # never replaces
        except FileExistsError:
            raise
        except OSError:  # a file system without links, such as that of a stick
            part.rename(path)
    finally:
        part.unlink(missing_ok=True)
