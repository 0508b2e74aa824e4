"""What the reader raises beside ServiceError, and the numbered plan of what it verifies."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager

from results_consumer.cover import Range
from wire.errors import SealbatchError, WireError


class Check(enum.IntEnum):
    """The plan, in the order in which checks are made: first of the job, then of each object, then of the output."""

    MANIFEST_PRESENT = 1
    """A ticket proves that there was a manifest: its absence is a loss and not an unknown job."""
    MANIFEST_DIGEST = 2
    """It is the manifest that the ticket was made from."""
    MANIFEST_FORM = 3
    """It is a manifest of this format, and nothing stands behind it."""
    CONFIGURATION = 4
    """Tenant, job and both key ARNs are the configured ones."""
    PAGE_PRESENT = 5
    """Every page of the list of chunks is there."""
    PAGE_FORM = 6
    """Each page is of this format."""
    CHUNK_COVER = 7
    """Chunks follow each other without gap or overlap, up to the manifest's counts."""
    MERKLE_ROOT = 8
    """The chunks' digests are those that the manifest's root was made of."""
    ANSWER_KEY = 9
    """KMS gave 32 bytes under the configured key, for this job's context."""
    MANIFEST_HMAC = 10
    """The manifest was made by whoever made the first answer key."""
    OBJECT_PRESENT = 11
    """Every answer that was listed can be read."""
    OBJECT_FORM = 12
    """It is a sealed object of this format."""
    TENANT = 13
    """Its header names the ticket's tenant."""
    JOB = 14
    """Its header names the ticket's job."""
    IMAGE = 15
    """The image that the producer demanded, and KMS attested, for this keyset."""
    CHUNK = 16
    """Its header names the chunk that it lies under."""
    RANGE = 17
    """Its header names the range of records that it lies under."""
    KEY_ARN = 18
    """It is sealed under the configured answers key."""
    WRAPPED_DIGEST = 19
    """It names the keyset that the manifest lists for the chunk."""
    QUESTION_DIGEST = 20
    """The answers belong to the very questions that the manifest lists."""
    SEAL = 21
    """Commitment, AES-256-GCM over the header and payload, and padding. Which of them failed is told to nobody."""
    PAYLOAD_FORM = 22
    """What was sealed is a list of results of this format."""
    RECORD_NUMBERS = 23
    """Each record of the range has exactly one result, in order."""
    EXACT_COVER = 24
    """Ranges that were answered separately meet without overlap."""
    MODEL = 25
    """All answers of a job name one model."""
    TEMPLATE = 26
    """All answers of a job name one prompt template."""
    INPUT = 27
    """Line and custom_id are those of the input file that was given."""
    UNCHANGED = 28
    """What is written is what was verified before."""
    RECEIPT = 29
    """The enclave's signed receipt stands each step of its own plan."""


class ReaderError(SealbatchError):
    """The family: any other exception out of this package but ServiceError is a bug. No text of it holds content."""


class IntegrityError(ReaderError):
    """Something is not what the ticket says it must be; nothing was written.

    `step` and `code` say which check of the plan, `where` names the object or record.
    """

    def __init__(self, check: Check, where: str, why: str = "") -> None:
        reason = f": {why}" if why else ""
        super().__init__(f"integrity check {check.value} ({check.name.lower()}) failed at {where}{reason}")
        self.check = check
        self.where = where

    @property
    def step(self) -> int:
        """The check's number in the plan."""
        return self.check.value

    @property
    def code(self) -> str:
        """The check's name in lower case."""
        return self.check.name.lower()


@contextmanager
def checked(check: Check, where: str) -> Iterator[None]:
    """Turn what `wire` refuses inside into the check that fails by it. No cause is chained: nothing of it is told.

    Raises:
        IntegrityError: the bytes at `where` are refused.
    """
    try:
        yield
    except WireError:
        raise IntegrityError(check, where) from None


class JobNotFinished(ReaderError):  # noqa: N818 - a state of the job and no fault
    """Records have neither an answer nor a failure yet; nothing was written.

    `missing` holds at most the first `coverage.MAX_RANGES_TOLD` ranges, `missing_records` counts all.
    """

    def __init__(self, missing: tuple[Range, ...], missing_records: int, records: int) -> None:
        super().__init__(f"{missing_records} of {records} records have no answer yet")
        self.missing = missing
        self.missing_records = missing_records
        self.records = records


class SinkCode(enum.StrEnum):
    """Why an output file cannot be written."""

    EXISTS = "exists"
    NOT_A_FILE = "not_a_file"
    NO_FOLDER = "no_folder"
    DENIED = "denied"
    FULL = "full"
    FAILED = "failed"
    BUSY = "busy"
    OTHER = "other"
    NOT_OURS = "not_ours"


_SINK_TEXTS = {
    SinkCode.EXISTS: "exists already and is not overwritten",
    SinkCode.NOT_A_FILE: "is not a regular file",
    SinkCode.NO_FOLDER: "is in a folder that does not exist",
    SinkCode.DENIED: "cannot be written: permission denied",
    SinkCode.FULL: "cannot be written: no space left, or a quota or size limit is reached",
    SinkCode.FAILED: "cannot be written",
    SinkCode.BUSY: "is being written by another process",
    SinkCode.OTHER: "is what another fetch began; type that one again to end it, or --force to begin anew",
    SinkCode.NOT_OURS: "was made by somebody else, or others may read it; remove it",
}


class SinkError(ReaderError):
    """The output cannot be written; what was begun is removed again. `errno` is the system's, or 0."""

    def __init__(self, code: SinkCode, path: str, errno: int = 0) -> None:
        super().__init__(f"{path} {_SINK_TEXTS[code]}" + (f" (errno {errno})" if code is SinkCode.FAILED else ""))
        self.code = code
        self.path = path
        self.errno = errno
