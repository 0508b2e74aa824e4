"""An inbox in S3: a prefix of sealed files. They are opened as they are read, and lie in the clear nowhere.

S3 has no rename that only one of two can win. So a file is taken by a record, written once under an id that stands for
this very object, after its sealed bytes were copied beside the records; the object is deleted last. Whoever dies in
between leaves what the next tick finishes, for the run that the record names.
"""

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from aws_errors.mapped import error_code, mapped
from producer.errors import SealedFileError
from producer.sealed_file import MAX_HEADER, PREFIX, Owner, open_file, read_header
from results_consumer.s3_sink import S3Sink
from sealbatch.nightly.inbox import DONE, FAILED, Inbox, Input, unfinished
from sealbatch.nightly.schedule import Schedule, split_place
from sealbatch.nightly.shelf import Shelf
from sealbatch.private_file import flush_to_disk, private_part

SUFFIX: Final = ".sealed"
_BLOCK: Final = 1 << 20
_GONE: Final = frozenset({"NoSuchKey", "PreconditionFailed", "404", "412"})

_log: Final = logging.getLogger("sealbatch.nightly")


def owner_of(schedule: Schedule, tenant: str) -> Owner:
    """Whom the files in a schedule's inbox are sealed for."""
    return Owner(str(schedule.inbox_key), tenant, schedule.name)


class SealedInput(Input):
    """A sealed file on disk, with the name and the size of what is in it."""

    def __init__(self, path: Path, kms: Any, owner: Owner) -> None:
        super().__init__(path)
        self._kms = kms
        self._owner = owner

    @property
    def name(self) -> str:
        """Its name without the ending."""
        return self.path.name.removesuffix(SUFFIX)

    @property
    def size(self) -> int:
        """How many bytes are read from it.

        Raises:
            OSError: the file system fails.
            SealedFileError: it is damaged.
        """
        with self.path.open("rb") as file:
            return read_header(file.read(PREFIX.size + MAX_HEADER)).plain_size(self.path.stat().st_size)

    @contextlib.contextmanager
    def open(self) -> Iterator[BufferedReader]:
        """Its bytes in the clear, in memory alone.

        Raises:
            OSError: the file system fails.
            SealedFileError: it is damaged, or sealed for somebody else.
            ServiceError: KMS does not open its key.
        """
        with self.path.open("rb") as file, open_file(file, self.path.stat().st_size, self._kms, self._owner) as plain:
            yield plain


class S3Inbox(Inbox):
    """The objects directly under `s3://BUCKET/PREFIX`; finished, they go to `PREFIX/done` and `PREFIX/failed`."""

    def __init__(self, s3: Any, kms: Any, schedule: Schedule, tenant: str) -> None:
        super().__init__(schedule.own)
        self._s3 = s3
        self._kms = kms
        self._bucket, prefix = split_place(schedule.inbox)
        self._prefix = f"{prefix}/"
        self._shelf = Shelf(schedule.own)
        self._owner = owner_of(schedule, tenant)

    def waiting(self) -> list[str]:
        """Names of objects that somebody dropped, sealed or not."""
        names: list[str] = []
        request = {"Bucket": self._bucket, "Prefix": self._prefix, "Delimiter": "/"}
        with self._mapped("ListObjectsV2"):
            for page in self._s3.get_paginator("list_objects_v2").paginate(**request):
                names += [str(found["Key"]).removeprefix(self._prefix) for found in page.get("Contents", ())]
        return sorted(name for name in names if name and not unfinished(name))

    def ready(self, now: datetime, settle: timedelta) -> list[str]:  # noqa: ARG002 - an object appears whole or not
        """Names of those that say they are sealed; the others are left for a person to see."""
        return [name for name in self.waiting() if name.endswith(SUFFIX)]

    def take(self, name: str, run: str) -> tuple[str, str] | None:
        """Make an object the run's, or that of the run whose worker died over it."""
        try:
            with self._mapped("GetObject"):
                found = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except _GoneError:
            return None
        etag = str(found["ETag"])
        with contextlib.closing(found["Body"]) as body:
            # The same bytes that are dropped again are another file: their date tells them apart.
            item = hashlib.sha256(f"{name} {etag} {found['LastModified'].isoformat()}".encode()).hexdigest()[:12]
            if self._shelf.get(f"taken/{item}") is None and not self._receive(body, item):
                return None
        self._shelf.put_new(f"taken/{item}", {"run": run})
        owner = str((self._shelf.get(f"taken/{item}") or {"run": run})["run"])
        mine = self._place(owner, item, name)
        with contextlib.suppress(_GoneError), self._mapped("DeleteObject"):
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + name, IfMatch=etag)
        return (owner, item) if mine else None

    def find(self, run: str, item: str) -> SealedInput | None:
        """The file that was taken as `item`, or None if it was moved on."""
        found = super().find(run, item)
        return None if found is None else SealedInput(found.path, self._kms, self._owner)

    def finish(self, run: str, item: str, name: str, report: tuple[str, str], *, done: bool) -> None:
        """Put a taken file, still sealed, under `done/` or `failed/`, with its report, encrypted by S3, beside it."""
        folder = self._folder(run, done=done)
        with S3Sink(self._s3, self._bucket, f"{folder}/{report[0]}") as sink:
            sink.write(report[1].encode(errors="replace"))
            sink.commit()
        found = super().find(run, item)
        if found is None:
            return
        with found.open() as file, S3Sink(self._s3, self._bucket, f"{folder}/{name}{SUFFIX}") as sink:
            shutil.copyfileobj(file, sink, _BLOCK)
            sink.commit()
        found.path.unlink(missing_ok=True)

    def finished(self, run: str, name: str, *, done: bool) -> str:
        """Where a finished file lies."""
        return f"s3://{self._bucket}/{self._folder(run, done=done)}/{name}{SUFFIX}"

    def _folder(self, run: str, *, done: bool) -> str:
        return f"{self._prefix}{DONE if done else FAILED}/{run}"

    def _receive(self, body: Any, item: str) -> bool:
        """Copy the sealed bytes to disk, whole or not at all; False if they are not sealed, and nothing is written."""
        first = body.read(PREFIX.size + MAX_HEADER)
        try:
            read_header(first)
        except SealedFileError:
            _log.warning(
                "not picked up: an object that ends with %s is not a sealed file; `sealbatch schedule drop` makes one",
                SUFFIX,
            )
            return False
        received = self.own / "received"
        received.mkdir(mode=0o700, parents=True, exist_ok=True)
        with private_part(received) as (file, part):
            while first:
                file.write(first)
                first = body.read(_BLOCK)
            flush_to_disk(file)
            part.replace(received / item)
        return True

    def _place(self, run: str, item: str, name: str) -> bool:
        """Move the received bytes to where the run looks for them; False if they are there, or done with, already."""
        received, folder = self.own / "received" / item, self.place(run, item)
        if self._shelf.get(f"runs/{run}/items/{item}/finished") is not None:
            received.unlink(missing_ok=True)
            return False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            received.rename(folder / name)
        except FileNotFoundError:
            return False
        return True

    @contextlib.contextmanager
    def _mapped(self, operation: str) -> Iterator[None]:
        with mapped("S3", operation, self._bucket):
            try:
                yield
            except ClientError as error:
                if error_code(error) in _GONE:
                    raise _GoneError from None
                raise


class _GoneError(Exception):
    """The object is not there any more, or is another one."""
