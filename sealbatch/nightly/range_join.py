"""What the ranges of a large file come to together: refused, or one job under one manifest."""

from dataclasses import replace

from producer.keyset import generate_keyset
from producer.lookup import Lookup
from producer.problem import Problem
from producer.publish import put_manifest, put_pages
from producer.published import open_published
from producer.ranges import find_duplicate
from producer.store import JobStore
from sealbatch.nightly.context import Context
from sealbatch.nightly.faults import FILE_GONE, NightError
from sealbatch.nightly.range_records import CHECK, RangeRecords, chunks_of, data_of, marks_of, text
from sealbatch.nightly.records import ItemRecords
from sealbatch.nightly.refusal import problems, refusal
from sealbatch.nightly.shelf import Record
from wire import manifest
from wire.manifest import Parameters
from wire.payload import ErrorCode
from wire.ticket import Ticket


class RangeJoin:
    """All ranges of the file whose records are `file`, whose SHA-256 is `digest`."""

    def __init__(self, context: Context, file: ItemRecords, ranges: RangeRecords, digest: str) -> None:
        self._context = context
        self._file = file
        self._ranges = ranges
        self._settings = context.aws.producer_settings
        self._store = JobStore(context.aws.producer.s3, self._settings.bucket)
        self._lookup = Lookup(self._store, self._settings.tenant, context.key(file.run, digest))

    def refused(self) -> bool:
        """Whether the ranges together are refused, which is written down.

        Raises:
            OSError: the records cannot be read or written.
        """
        if self._file.get("refused") is not None:
            return True
        if self._file.get("counted") is not None:
            return False
        checks = list(self._ranges.each(CHECK))
        found = [one for check in checks for one in check["problems"]]
        count = sum(check["problem_count"] for check in checks)
        records = sum(check["records"] for check in checks)
        if not count and (whole := self._problem_of_all(records)) is not None:
            found, count = problems([whole]), 1
        if count:
            self._file.put_new("refused", self._context.dated(**refusal(count, found)))
            return True
        self._file.put_new("counted", self._context.dated(records=records))
        return False

    def commit(self) -> bool:
        """Make the job visible: one manifest, whoever of us writes it down first; False if the key has another job.

        Raises:
            ServiceError: AWS does not answer.
            OSError: the records cannot be read or written.
        """
        record = self._file.get("manifest") or self._file.put_new("manifest", {"data": text(self._manifest())})
        ticket = put_manifest(self._store, self._settings.tenant, self._ranges.job, data_of(record["data"]))
        # The key names the file's digest itself, so there is nothing more to mark.
        if self._lookup.claim(ticket, b""):
            return True
        if (claim := self._lookup.find()) is None:
            return False
        self._keep(claim.ticket, open_published(self._store, self._settings.tenant, claim.ticket).manifest)
        return False

    def finish(self) -> None:
        """All is sent: the file has its ticket.

        Raises:
            ServiceError: S3 does not answer.
            OSError: the records cannot be read or written.
        """
        record = self._file.get("manifest")
        if record is None:
            raise NightError(FILE_GONE)
        data = data_of(record["data"])
        self._lookup.mark_sent()
        self._keep(Ticket(self._ranges.job, manifest.manifest_digest(data)), manifest.decode_manifest(data))

    def _problem_of_all(self, records: int) -> Problem | None:
        """What no range sees alone."""
        if not records:
            return Problem(1, ErrorCode.EMPTY_FILE, "there is no question in it")
        twice = find_duplicate(map(marks_of, self._ranges.each("marks")))
        if twice is None:
            return None
        said = f"the custom_id of line {twice[0]} stands here again"
        return Problem(twice[1], ErrorCode.DUPLICATE_CUSTOM_ID, said, "custom_id")

    def _keep(self, ticket: Ticket, made: manifest.Manifest) -> None:
        fields = {"ticket": str(ticket), "job": ticket.job, "records": made.records, "chunks": made.chunks}
        self._file.put_new("ticket", self._context.dated(**fields))
        self._context.inbox.forget_sealed(self._file.run, self._file.item)

    def _manifest(self) -> bytes:
        """Put the pages, which are the same whoever makes them; a manifest over them that only we can make."""
        # A keyset for the signature alone: were it one of a range's, the pages would depend on who signs.
        signer = generate_keyset(self._context.aws.producer.kms, self._settings, self._ranges.job)
        sealed = list(self._ranges.each("sealed"))
        index, others = _keysets(sealed, signer.public)
        entries = (chunk.entry(index[record["keys"][0]]) for record in sealed for chunk in chunks_of(record))
        deadline = self._context.deadline_ms(self._file.run)
        return put_pages(
            store=self._store,
            tenant=self._settings.tenant,
            job=self._ranges.job,
            entries=entries,
            keyset=signer,
            others=others,
            parameters=Parameters(name=self._context.schedule.name, deadline_ms=deadline),
        )


def _keysets(sealed: list[Record], like: manifest.Keyset) -> tuple[dict[str, int], list[manifest.Keyset]]:
    """The ranges' keysets behind the signer's, each once, and the place of each by its wrapped question key."""
    index: dict[str, int] = {}
    others: list[manifest.Keyset] = []
    for record in sealed:
        question, answer = record["keys"]
        if question not in index:
            index[question] = len(others) + 1
            others.append(replace(like, question_wrapped=data_of(question), answer_wrapped=data_of(answer)))
    return index, others
