"""Keeps what proves a fetched job: enough to verify it again, years later, with no network and no key.

```
DIR/JOB/manifest, pages/PPPPPP              as they lay in the bucket
DIR/JOB/answers/CCCCCCCC.FIRST.COUNT        sealed answers, as they lay in the bucket
DIR/JOB/receipts/CCCCCCCC.FIRST.COUNT.cose  their receipt, in the clear
DIR/JOB/openings/CCCCCCCC.FIRST.COUNT.json  the chunk's salt, and the commitment of each result
DIR/JOB/silent.json                         records without an answer, in the bridge's word
DIR/JOB/retries.json                        jobs that asked some again, whose evidence lies beside this
```
The salts let whoever has this folder test guesses at questions and answers: it is as private as the answers are.
"""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from results_consumer.errors import SinkCode, SinkError
from results_consumer.job import Job
from results_consumer.silent import Silent
from results_consumer.sink import MODE, writing
from results_consumer.verify import Verified
from wire.commitments import result_commitment
from wire.manifest import PAGE_ENTRIES, encode_page

FOLDER_MODE: Final = 0o700
_SILENT: Final = ("chunk", "first", "count", "outcome", "code")


class EvidenceFolder:
    """The folder of one job below `parent`; it appears under its name only when the job is verified.

    With `lasting`, what was kept outlives whoever keeps it, and the next one goes on with it.

    Raises:
        SinkError: on entering: the folder cannot be made, or is there already and `overwrite` is not set.
    """

    def __init__(
        self, parent: Path, job: Job, *, overwrite: bool, retries: Sequence[str] = (), lasting: bool = False
    ) -> None:
        self._target = parent / job.manifest.job
        self._part = parent / f".{job.manifest.job}.{'follow' if lasting else secrets.token_hex(8)}.part"
        self._lasting = lasting
        self._job = job
        self._overwrite = overwrite
        self._retries = list(retries)
        self._silent: list[dict[str, object]] = []

    def __enter__(self) -> Self:
        if self._target.exists() and not self._overwrite:
            raise SinkError(SinkCode.EXISTS, str(self._target))
        with writing(str(self._target)):
            try:
                self._begin()
            except OSError:
                self._discard()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self._lasting:
            self._discard()

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return self._part.is_dir()

    @property
    def committed(self) -> bool:
        """Whether the folder has its name."""
        return self._target.is_dir() and not self._part.exists()

    def forget_from(self, chunk: int) -> None:
        """Remove what was kept of this chunk and those behind it: they come again, maybe in other ranges.

        Raises:
            SinkError: the disk fails.
        """
        with writing(str(self._target)):
            for name in ("answers", "receipts", "openings"):
                for path in (self._part / name).iterdir():
                    if int(path.name[:8]) >= chunk:
                        path.unlink()

    def keep(self, chunk: int, part: Verified | Silent) -> None:
        """Keep what proves a part of the job.

        Raises:
            SinkError: the disk is full, or fails.
        """
        if isinstance(part, Silent):
            self._silent.append(dict(zip(_SILENT, [chunk, *part.values()], strict=True)))
            return
        name = f"{chunk:08d}.{part.span.first}.{part.span.count}"
        salt = part.payload.salt
        opening = {
            "salt": salt.hex(),
            "results": [result_commitment(salt, result).hex() for result in part.payload.results],
        }
        with writing(str(self._target)):
            self._write(f"answers/{name}", part.sealed)
            self._write(f"receipts/{name}.cose", part.receipt_bytes)
            self._write(f"openings/{name}.json", json.dumps(opening).encode())

    def commit(self) -> None:
        """Give the folder its name.

        Raises:
            SinkError: the disk is full, or fails.
        """
        with writing(str(self._target)):
            self._write("silent.json", json.dumps(self._silent).encode())
            self._write("retries.json", json.dumps(self._retries).encode())
            if self._overwrite:
                shutil.rmtree(self._target, ignore_errors=True)
            self._part.rename(self._target)

    def _begin(self) -> None:
        self._part.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=self._lasting)
        found = self._part.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise SinkError(SinkCode.NOT_OURS, str(self._part))
        for name in ("pages", "answers", "receipts", "openings"):
            (self._part / name).mkdir(mode=FOLDER_MODE, exist_ok=self._lasting)
        self._part.chmod(FOLDER_MODE)
        self._write("manifest", self._job.encoded)
        chunks = len(self._job.chunks)
        for page, start in enumerate(range(0, chunks, PAGE_ENTRIES)):
            entries = [self._job.chunks.entry(n) for n in range(start, min(start + PAGE_ENTRIES, chunks))]
            # The encoding is canonical: these are the bytes that lie in the bucket.
            self._write(f"pages/{page:06d}", encode_page(tuple(entries)))

    def _write(self, name: str, data: bytes) -> None:
        again = os.O_TRUNC | os.O_NOFOLLOW if self._lasting else os.O_EXCL
        descriptor = os.open(self._part / name, os.O_WRONLY | os.O_CREAT | again | os.O_CLOEXEC, MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if self._lasting:
                # Whoever goes on does not read this again, so it must be on disk before it counts as kept.
                file.flush()
                os.fsync(descriptor)

    def _discard(self) -> None:
        shutil.rmtree(self._part, ignore_errors=True)
