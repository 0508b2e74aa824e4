"""Where a schedule's answers and reports go: a folder, or a prefix in S3. A plaintext answer is written here only."""

from pathlib import Path
from typing import Any, Protocol

from results_consumer.s3_sink import S3Sink
from results_consumer.sink import FileSink, Sink
from sealbatch.nightly.schedule import split_place


class Target(Protocol):
    """One run's place."""

    def sink(self, name: str) -> Sink:
        """What takes the file `name`, over one of that name, and makes it appear whole."""
        ...

    def where(self, name: str) -> str:
        """How people call it."""
        ...


class FolderTarget:
    """A folder, made when it is first needed, for its owner's eyes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def sink(self, name: str) -> Sink:
        """A file of mode 0600.

        Raises:
            OSError: the folder cannot be made.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileSink(self._root / name, overwrite=True)

    def where(self, name: str) -> str:
        """Its path."""
        return str(self._root / name)


class S3Target:
    """A prefix in a bucket."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix

    def sink(self, name: str) -> Sink:
        """An object."""
        return S3Sink(self._s3, self._bucket, f"{self._prefix}/{name}")

    def where(self, name: str) -> str:
        """Its address."""
        return f"s3://{self._bucket}/{self._prefix}/{name}"


def make_target(place: str, run: str, s3: Any) -> Target:
    """A run's place below the one that the schedule names."""
    if not place.startswith("s3://"):
        return FolderTarget(Path(place) / run)
    bucket, prefix = split_place(place)
    return S3Target(s3, bucket, f"{prefix}/{run}")
