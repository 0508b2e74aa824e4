"""What the Python API raises beside the errors of the producer, the reader and the configuration."""

from wire.errors import SealbatchError
from wire.ledger import Notice
from wire.ticket import Ticket


class OptionError(SealbatchError, ValueError):
    """An argument is refused: `option` names it and `why` says what it must be."""

    def __init__(self, option: str, why: str) -> None:
        super().__init__(f"{option}: {why}")
        self.option = option
        self.why = why

    @classmethod
    def of(cls, error: ValueError) -> "OptionError":
        """The same for an error whose text is `option: why`."""
        option, _, why = str(error).partition(": ")
        return cls(option.replace("-", "_").replace(" ", "_"), why)


class OptionTypeError(OptionError, TypeError):
    """An argument, or a question, is of a type that cannot be."""


class InputFileError(SealbatchError):
    """The file of questions cannot be opened; `denied` if the right to read it is what is missing."""

    def __init__(self, text: str, *, denied: bool = False) -> None:
        super().__init__(text)
        self.denied = denied


class WaitTimeout(SealbatchError, TimeoutError):  # noqa: N818 - a state of the job and no fault
    """The time to wait is over and the job is not; it goes on."""

    def __init__(self, answered: int, total: int, ticket: Ticket) -> None:
        super().__init__(f"{answered:,} of {total:,} records are answered; the ticket is {ticket}")
        self.answered = answered
        self.total = total
        self.ticket = str(ticket)


class JobStalled(SealbatchError):  # noqa: N818 - a state of the job and no fault
    """The host says that KMS refuses the enclave; a person has to change something before the job can go on."""

    def __init__(self, notice: Notice, ticket: Ticket) -> None:
        super().__init__(f"{stalled(notice)}\nthe job stays; go on with the ticket {ticket}")
        self.notice = notice
        self.ticket = str(ticket)


class ReleaseRefused(SealbatchError):  # noqa: N818 - a finding
    """A release file is not signed by whom it must be."""


def refuse_stalled(notice: Notice | None, ticket: Ticket) -> None:
    """A job that KMS refuses stays where it is until a person has changed something.

    Raises:
        JobStalled: it is one.
    """
    if notice is not None and notice.code != "kms_unavailable":
        raise JobStalled(notice, ticket)


def stalled(notice: Notice) -> str:
    """Why a job does not move, in words for whoever can change it.

    It is the host's word, and a host may lie: nobody is to admit an image because this names it.
    """
    match notice.code:
        case "key_denied":
            return (
                f"the host says that KMS refused the enclave: the key policy of {notice.key_arn} does not admit the "
                f"image {notice.image}. If your own release files name this PCR0, add it to the policy "
                "(sealbatch policy render), and the bridge goes on by itself; if not, the host runs another image"
            )
        case "wrong_image":
            return (
                f"the host says that the questions were sealed for another image than the enclave's, which is "
                f"{notice.image}. If your own release files name this PCR0, set `image` to it and submit again"
            )
        case "key_invalid":
            return f"KMS does not accept the wrapped key of {notice.key_arn}: deleted, disabled, or of another key"
        case _:
            return "KMS does not answer the bridge; it tries again by itself"
