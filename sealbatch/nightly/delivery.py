"""Delivers the answers of a finished job to the target that the schedule names, whole or not at all."""

from collections.abc import Iterator
from dataclasses import asdict

from producer.questions import read_records
from results_consumer.fetch import FetchOptions, FetchProgress, fetch
from results_consumer.output import OutputForm
from results_consumer.tally import FetchSummary
from results_consumer.timeline import timeline
from sealbatch.nightly.context import Context
from sealbatch.nightly.inbox import Input
from sealbatch.nightly.names import own_names
from sealbatch.nightly.records import ItemRecords
from sealbatch.nightly.shelf import Record
from sealbatch.nightly.summary import COUNTS
from wire.payload import Params
from wire.payload import Record as Question
from wire.ticket import Ticket


def deliver(context: Context, records: ItemRecords, claim: Record, ticket: Record, source: Input) -> None:
    """Fetch, verify, match every line to the input at `source`, write; and write down what it came to.

    Raises:
        ReaderError, ServiceError: anything is not as the ticket says, or cannot be written; nothing was delivered.
        OSError: the input or the records cannot be read or written.
    """
    answers = own_names(records, str(claim["name"])).answers
    target = context.target(records.run)
    aws = context.aws
    options = FetchOptions(
        form=OutputForm.CSV if answers.endswith(".csv") else OutputForm.JSONL,
        inputs=lambda: _pairs(context, source),
    )
    # The name is this file's alone, so what may lie there is what we delivered before we could write it down.
    sink = target.sink(answers)
    summary = fetch(
        aws.reader_s3,
        aws.reader_kms,
        aws.reader_settings,
        Ticket.parse(str(ticket["ticket"])),
        sink,
        options=options,
        told=lambda state: _show(context, records, state),
        now_ms=context.machine_now_ms(),
    )
    seen = timeline(aws.reader_s3, aws.reader_settings, summary.job)
    records.put_new("delivered", context.dated(where=target.where(answers), **outcome(summary), timeline=asdict(seen)))


def outcome(summary: FetchSummary) -> Record:
    """Counts of a job's outcomes and tokens."""
    counts = {name: getattr(summary, name) for name in COUNTS}
    return counts | {"error_codes": [list(pair) for pair in summary.error_codes], "model": summary.model}


def _pairs(context: Context, source: Input) -> Iterator[tuple[int, str]]:
    """Line and custom_id of each record of the input."""
    parameters = context.schedule.parameters
    with source.open() as file:
        for item in read_records(file, parameters.form(source.name), Params(), keep_invalid=parameters.skip_invalid):
            if isinstance(item, Question):
                yield item.line, item.custom_id


def _show(context: Context, records: ItemRecords, state: FetchProgress) -> None:
    context.show(records.run, records.item, "delivering", state.done, state.total)
