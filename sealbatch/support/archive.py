"""Writes a bundle: a gzipped tar that only its owner may read, whole or not at all."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from results_consumer.sink import name_file
from sealbatch.private_file import flush_to_disk, private_part


def write(path: Path, folder: str, files: Mapping[str, str]) -> None:
    """Put `files` into `path`, each below `folder`; what is there already stays.

    Raises:
        OSError: it exists, or cannot be written.
    """
    with private_part(path.parent) as (raw, part):
        # Neither the name of the file nor that of the user goes along.
        with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
            for name, text in files.items():
                data = text.encode("utf-8", "replace")
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mode = len(data), 0o600
                archive.addfile(entry, io.BytesIO(data))
        flush_to_disk(raw)
        name_file(part, path, overwrite=False)
