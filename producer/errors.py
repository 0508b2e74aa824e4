"""What a producer raises: the input is bad, the disk is full, or not all messages were sent."""

from collections.abc import Sequence

from aws_errors.service_error import ServiceError
from producer.policy_lint import Finding
from producer.validate import ValidationReport
from wire.errors import SealbatchError
from wire.ticket import Ticket


class ProducerError(SealbatchError):
    """Base of the family. No text of it holds a question, a custom_id or a key."""


class InputInvalid(ProducerError):  # noqa: N818 - a finding, named as the report calls it
    """The input has problems; nothing was sent."""

    def __init__(self, report: ValidationReport) -> None:
        super().__init__(f"the input has {report.problem_count} invalid lines and {report.records} valid ones")
        self.report = report


class KeyReused(ProducerError):  # noqa: N818 - a finding
    """An idempotency key stands for another input, or for other options; nothing was sent.

    `job` is the job that was submitted under it.
    """

    def __init__(self, job: str) -> None:
        super().__init__(
            f"this idempotency key was used before, for job {job}, with another input or other options; "
            "type what was typed then to go on with that job, or choose another key for a new one"
        )
        self.job = job


class SpoolError(ProducerError):
    """The temporary file for sealed chunks could not be written; nothing was sent."""

    def __init__(self, folder: str, *, full: bool) -> None:
        why = "there is no space left" if full else "it cannot be written"
        super().__init__(f"temporary file for sealed chunks in {folder}: {why}; TMPDIR names another folder")
        self.full = full


class KeyRefused(ProducerError):  # noqa: N818 - a finding
    """A key's policy, grants or origin would let somebody else open what is sealed to it; nothing was sealed."""

    def __init__(self, key_arn: str, findings: Sequence[Finding]) -> None:
        first = findings[0]
        more = f", and {len(findings) - 1} more findings" if len(findings) > 1 else ""
        super().__init__(f"{key_arn}: {first.rule} in {first.where}: {first.message}{more}; nothing was sealed")


class SealedFileError(ProducerError):
    """A sealed file cannot be opened: it is none, it was cut or changed, or it was sealed for another schedule."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the sealed file cannot be opened: {reason}")


class SendIncomplete(ProducerError):  # noqa: N818 - a state of the job rather than an error of the program
    """The job is in S3 and its ticket is good, but only `sent` of `chunks` messages are known to be in the queue.

    What was sent will be answered. `cause` is the failure that ended the sending.
    """

    def __init__(self, ticket: Ticket, sent: int, chunks: int, cause: ServiceError) -> None:
        super().__init__(f"{cause}; {sent} of {chunks} chunks were sent, and those will be answered")
        self.ticket = ticket
        self.sent = sent
        self.chunks = chunks
        self.cause = cause
