"""How to submit, how far a submit is, and what came of it."""

import enum
from dataclasses import dataclass, field
from pathlib import Path

from producer.chunks import ChunkLimits
from producer.lookup import Idempotency
from producer.validate import ValidationReport
from wire.manifest import MAX_NAME, Parameters
from wire.ticket import Ticket


class Phase(enum.StrEnum):
    """What a submit is doing: reading and sealing lines, putting chunks into S3, sending chunks to the queue."""

    SEAL = "seal"
    UPLOAD = "upload"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class SubmitProgress:
    """`done` of `total` (None if unknown) lines or chunks; `ticket` is there as soon as the job exists."""

    phase: Phase
    done: int
    total: int | None = None
    ticket: Ticket | None = None


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How to submit.

    With `skip_invalid` an invalid line becomes a record that gets an error for an answer; without, it refuses the
    file. `parameters` stand in the manifest in the clear. A `dry_run` does all but call KMS, S3 and SQS, under keys
    that are thrown away. `spool_folder` None is the system's folder for temporary files. Under an `idempotency` key one
    job is made, however often it is submitted. `retry_key` is the first answer key of the job that this one repeats
    records of, if it does: it links the two.

    Raises:
        ValueError: the job's name is too long, or a retry has no key.
    """

    limits: ChunkLimits = field(default_factory=ChunkLimits)
    parameters: Parameters = field(default_factory=Parameters)
    skip_invalid: bool = False
    dry_run: bool = False
    spool_folder: Path | None = None
    idempotency: Idempotency | None = None
    retry_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.parameters.retry is None) != (self.retry_key is None):
            raise ValueError("retry: the key of the job that is repeated is missing, or there is no such job")
        if len(self.parameters.name) > MAX_NAME:
            raise ValueError(f"name: at most {MAX_NAME} characters")


@dataclass(frozen=True, slots=True)
class Submission:
    """What was submitted: `records` with those that stand for `skipped` invalid lines; `ticket` is None if dry.

    With `existed`, the job was submitted before under the same idempotency key; nothing was checked or sealed now, so
    the report knows nothing but the number of records.
    """

    ticket: Ticket | None
    job: str
    records: int
    chunks: int
    skipped: int
    sealed_bytes: int
    report: ValidationReport
    existed: bool = False

    def sent_ticket(self) -> Ticket:
        """The ticket.

        Raises:
            ValueError: it was a dry run, which has none.
        """
        if self.ticket is None:
            raise ValueError("a dry run has no ticket")
        return self.ticket
