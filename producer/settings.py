"""Where a producer sends to, and which image may open what it seals."""

from dataclasses import dataclass

from wire.names import IMAGE, KEY_ARN, TENANT


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """One tenant's places and keys.

    `question_key` and `answer_key` are full KMS key ARNs, `image` is the PCR0 (96 lower-case hex digits) of the only
    enclave image that shall be able to open the questions.

    Raises:
        ValueError: a field does not look as it must; the text names the field.
    """

    tenant: str
    bucket: str
    queue_url: str
    question_key: str
    answer_key: str
    image: str

    def __post_init__(self) -> None:
        if TENANT.fullmatch(self.tenant) is None:
            raise ValueError("tenant: 1 to 32 of a-z, 0-9 and -, not - first")
        if KEY_ARN.fullmatch(self.question_key) is None:
            raise ValueError("question_key: not a full KMS key ARN")
        if KEY_ARN.fullmatch(self.answer_key) is None:
            raise ValueError("answer_key: not a full KMS key ARN")
        if self.question_key == self.answer_key:
            raise ValueError("answer_key: must be another KMS key than question_key")
        if IMAGE.fullmatch(self.image) is None:
            raise ValueError("image: not 96 lower-case hexadecimal digits")
