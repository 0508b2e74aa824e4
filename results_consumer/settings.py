"""What a reader is configured with."""

from dataclasses import dataclass, field

from results_consumer.trust import Trust


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """Whose jobs are read and under which keys; a manifest that names others is refused.

    `question_key` and `answer_key` are full KMS key ARNs and never aliases, which somebody could point elsewhere.
    `trust` is what receipts are verified against.
    """

    tenant: str
    bucket: str
    question_key: str
    answer_key: str
    trust: Trust = field(default_factory=Trust)
