"""The work on one range of a large file: check, seal and upload, send; each may be done again."""

import hmac
import secrets
from pathlib import Path

from producer.forms import InputForm
from producer.keyset import Keyset, generate_keyset
from producer.ranges import Range, Reading, check_range, read_chunk, seal_range, upload_range
from producer.send import send_all
from producer.store import JobStore
from sealbatch.nightly.context import Context
from sealbatch.nightly.faults import FILE_CHANGED, FILE_GONE, NightError
from sealbatch.nightly.inbox import Input
from sealbatch.nightly.range_records import (
    CHECK,
    SEAL,
    SEND,
    RangeRecords,
    check_record,
    chunk_values,
    chunks_of,
    data_of,
    marks_record,
    text,
)
from sealbatch.nightly.records import ItemRecords
from sealbatch.nightly.shelf import Record
from wire.manifest import decode_manifest

_keysets: dict[str, Keyset] = {}
"""This process's keyset of the job that it works on: one process, one keyset, and no more than one in memory."""


class RangeWork:
    """One range of the file whose records are `file`."""

    def __init__(self, context: Context, file: ItemRecords, ranges: RangeRecords, number: int) -> None:
        self._context = context
        self._file = file
        self._ranges = ranges
        self._number = number
        self._records = ranges.of(number)
        self._settings = context.aws.producer_settings

    def do_next(self) -> None:
        """Whatever the range lacks and may be done now, if anything.

        Raises:
            NightError: the file is gone, or is not what it was.
            ServiceError: AWS does not answer.
            OSError: file, records or sealed bytes cannot be read or written.
        """
        if self._records.get(CHECK) is None:
            self._check()
        elif self._ranges.all_have(CHECK) and self._records.get(SEAL) is None:
            self._upload()
        elif (manifest := self._file.get("manifest")) is not None and self._records.get(SEND) is None:
            self._send(manifest)

    def _check(self) -> None:
        span = self._ranges.span(self._number)
        with self._input().open() as file:
            found = check_range(file, span, self._reading(), self._mark_key())
        _refuse_changed(found.digest, span)
        self._records.put_new("marks", marks_record(found))
        self._records.put_new(CHECK, self._context.dated(**check_record(found)))

    def _upload(self) -> None:
        sealed = self._records.get("sealed") or self._seal()
        store = JobStore(self._context.aws.producer.s3, self._settings.bucket)
        upload_range(self._bytes(sealed), chunks_of(sealed), store, self._settings.tenant, self._ranges.job)
        self._records.put_new(SEAL, self._context.dated(chunks=len(sealed["chunks"])))

    def _seal(self) -> Record:
        """Seal into a file that nobody knows, then make it the range's, unless somebody was faster."""
        span, place = self._ranges.span(self._number), self._ranges.place(self._number)
        keyset = self._keyset()
        name = f"{self._number}-{secrets.token_hex(8)}"
        path = self._context.inbox.sealed(self._file.run, self._file.item, name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with self._input().open() as file, path.open("xb") as out:
            chunks, digest = seal_range(
                file, span, self._reading(), out, place=place, keyset=keyset, settings=self._settings
            )
        _refuse_changed(digest, span)
        keys = [text(keyset.public.question_wrapped), text(keyset.public.answer_wrapped)]
        record = self._context.dated(file=name, chunks=chunk_values(chunks), keys=keys)
        winner = self._records.put_new("sealed", record)
        if winner["file"] != name:
            path.unlink()
        return winner

    def _send(self, made: Record) -> None:
        sealed = self._records.get("sealed")
        if sealed is None:
            raise NightError(FILE_GONE)
        parameters = decode_manifest(data_of(made["data"])).parameters
        with self._bytes(sealed).open("rb") as file:
            messages = (
                chunk.message(self._settings.tenant, self._ranges.job, parameters, read_chunk(file, chunk))
                for chunk in chunks_of(sealed)
            )
            send_all(self._context.aws.producer.sqs, self._settings.queue_url, messages, lambda _: None)
        self._records.put_new(SEND, self._context.dated())

    def _keyset(self) -> Keyset:
        job = self._ranges.job
        if job not in _keysets:
            keyset = generate_keyset(self._context.aws.producer.kms, self._settings, job)
            _keysets.clear()
            _keysets[job] = keyset
        return _keysets[job]

    def _reading(self) -> Reading:
        parameters = self._context.schedule.parameters
        return Reading(InputForm("jsonl"), parameters.params(), parameters.limits())

    def _mark_key(self) -> bytes:
        """The same for all ranges of the file, and for nobody else's eyes."""
        return hmac.digest(self._context.secret, f"custom_ids {self._ranges.job}".encode(), "sha256")

    def _input(self) -> Input:
        return self._context.input(self._file.run, self._file.item)

    def _bytes(self, sealed: Record) -> Path:
        return self._context.inbox.sealed(self._file.run, self._file.item, str(sealed["file"]))


def _refuse_changed(digest: str, span: Range) -> None:
    if digest != span.digest:
        raise NightError(FILE_CHANGED)
