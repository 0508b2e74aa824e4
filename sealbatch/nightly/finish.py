"""The end of a file's night: moved to `done/` or `failed/` with a report beside it."""

import json
import os
import secrets
from pathlib import Path

from sealbatch.nightly.context import Context
from sealbatch.nightly.names import own_names
from sealbatch.nightly.records import ItemRecords
from sealbatch.nightly.shelf import Record


def finish(context: Context, records: ItemRecords, claim: Record) -> None:
    """Write the report, move the file, and write down that it is finished.

    A file is done when its answers were delivered and at least one record has one.

    Raises:
        OSError: one of the folders cannot be written.
    """
    delivered, refused = records.get("delivered"), records.get("refused")
    done = refused is None and delivered is not None and delivered["succeeded"] + delivered["truncated"] > 0
    names = own_names(records, str(claim["name"]))
    target = context.inbox.finished(records.run, names.moved, done=done)
    report = _report(context, records, claim, target)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(target.with_name(names.report), json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    context.inbox.move(records.run, records.item, names.moved, done=done)
    context.inbox.forget_sealed(records.run, records.item)
    records.put_new("finished", context.dated(done=done, where=str(target)))


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner's eyes, whole or not at all, over one of that name.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _report(context: Context, records: ItemRecords, claim: Record, target: Path) -> Record:
    """What happened to the file, in ids and counts."""
    report: Record = {
        "schedule": context.schedule.name,
        "run": records.run,
        "input": {"file": str(target), "sha256": claim["digest"], "bytes": claim["size"]},
    }
    for name in ("ticket", "refused", "delivered"):
        if (record := records.get(name)) is not None:
            report[name] = record
    report["retries"] = records.attempts().total
    return report
