"""Where a schedule's answers and reports go: a folder, or a prefix in S3. A plaintext answer is written here only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results_consumer.s3_sink import S3Sink
from results_consumer.sink import FileSink, Sink
from sealbatch.nightly.schedule import in_s3, split_place


@dataclass(frozen=True, slots=True)
class Target:
    """One run's place: a folder's path or `s3://BUCKET/PREFIX`."""

    place: str
    s3: Any

    def where(self, name: str) -> str:
        """How people call the file `name` in it."""
        return f"{self.place}/{name}"

    def sink(self, name: str) -> Sink:
        """What takes the file `name`, over one of that name, and makes it appear whole; for its owner's eyes.

        Raises:
            OSError: the folder, which is made when it is first needed, cannot be made.
        """
        if in_s3(self.place):
            return S3Sink(self.s3, *split_place(self.where(name)))
        folder = Path(self.place)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileSink(folder / name, overwrite=True)
