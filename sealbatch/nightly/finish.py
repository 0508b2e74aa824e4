"""The end of a file's night: moved to `done/` or `failed/` with a report beside it."""

import json

from sealbatch.nightly.context import Context
from sealbatch.nightly.names import own_names
from sealbatch.nightly.records import ItemRecords
from sealbatch.nightly.shelf import Record


def finish(context: Context, records: ItemRecords, claim: Record) -> None:
    """Write the report, move the file, and write down that it is finished.

    A file is done when its answers were delivered and at least one record has one.

    Raises:
        OSError: one of the folders cannot be written.
        ServiceError: S3 does not take the file.
    """
    delivered, refused = records.get("delivered"), records.get("refused")
    done = refused is None and delivered is not None and delivered["succeeded"] + delivered["truncated"] > 0
    names = own_names(records, str(claim["name"]))
    where = context.inbox.finished(records.run, names.moved, done=done)
    report = json.dumps(_report(context, records, claim, where), indent=2, ensure_ascii=False) + "\n"
    context.inbox.finish(records.run, records.item, names.moved, (names.report, report), done=done)
    context.inbox.forget_sealed(records.run, records.item)
    records.put_new("finished", context.dated(done=done, where=where))


def _report(context: Context, records: ItemRecords, claim: Record, where: str) -> Record:
    """What happened to the file, in ids and counts."""
    report: Record = {
        "schedule": context.schedule.name,
        "run": records.run,
        "input": {"file": where, "sha256": claim["digest"], "bytes": claim["size"]},
    }
    for name in ("ticket", "refused", "delivered"):
        if (record := records.get(name)) is not None:
            report[name] = record
    report["retries"] = records.retries()
    return report
