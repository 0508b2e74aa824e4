"""Puts files into a schedule's inbox so that each appears there whole; into one in S3, sealed."""

import shutil
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from aws_errors.mapped import error_code, mapped
from producer.sealed_file import seal_file
from results_consumer.s3_sink import S3Sink
from sealbatch.nightly.inbox import unfinished
from sealbatch.nightly.s3_inbox import SUFFIX, owner_of
from sealbatch.nightly.schedule import Schedule, split_place
from sealbatch.private_file import flush_to_disk, private_part


class DropError(Exception):
    """A file was not put into the inbox; the text says why."""


def drop_file(source: Path, schedule: Schedule) -> str:
    """Copy a file into an inbox that is a folder; where it is.

    Raises:
        DropError: its name is not taken up, or one of that name waits.
        OSError: it cannot be read, or the inbox cannot be written.
    """
    _check_name(source.name)
    folder = Path(schedule.inbox)
    with source.open("rb") as file, private_part(folder) as (out, part):
        shutil.copyfileobj(file, out)
        flush_to_disk(out)
        try:
            (folder / source.name).hardlink_to(part)  # atomic, and fails where the name is taken
        except FileExistsError:
            raise DropError(f"a file of the name {source.name} waits in the inbox already") from None
    return str(folder / source.name)


def drop_sealed(source: Path, schedule: Schedule, s3: Any, kms: Any, tenant: str) -> str:
    """Seal a file into an inbox in S3; its address.

    Raises:
        DropError: as `drop_file`.
        ServiceError: KMS gives no key, or S3 does not take the file.
        OSError: it cannot be read.
    """
    _check_name(source.name)
    bucket, prefix = split_place(schedule.inbox)
    key = f"{prefix}/{source.name}{SUFFIX}"
    if _is_there(s3, bucket, key):
        raise DropError(f"a file of the name {source.name} waits in the inbox already")
    with source.open("rb") as file, S3Sink(s3, bucket, key) as sink:
        seal_file(file, sink, kms, owner_of(schedule, tenant))
        sink.commit()
    return f"s3://{bucket}/{key}"


def _is_there(s3: Any, bucket: str, key: str) -> bool:
    with mapped("S3", "HeadObject", bucket):
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error_code(error) not in {"404", "NoSuchKey"}:
                raise
            return False
    return True


def _check_name(name: str) -> None:
    if unfinished(name):
        raise DropError(f"{name}: files of such names are not picked up; give it another")
