"""One record's result, as a program reads it."""

import json
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one question.

    `outcome` is succeeded, truncated, errored, expired or canceled. `answer` is None unless it is one of the first two;
    otherwise `error_code` and `error_message` say why, and `retryable` whether the same question may well succeed in
    another job. `attested` tells the enclave's word from the host's; in the latter case `custom_id` and `line` are
    None, unless the questions were given to compare with. `receipt` is the SHA-256 of the enclave's signed receipt, in
    hexadecimal, `model` is `name@sha256:digest`, and `id` names job and record.
    """

    id: str
    custom_id: str | None
    line: int | None
    outcome: str
    attested: bool
    answer: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error_code: str | None = None
    error_message: str | None = None
    retryable: bool = False
    receipt: str | None = None
    model: str | None = None

    @classmethod
    def of_line(cls, line: bytes) -> Self:
        """The result in a line of JSON output."""
        fields = json.loads(line)
        shared = {name: fields[name] for name in ("id", "custom_id", "line", "outcome", "attested", "receipt")}
        if (error := fields["error"]) is not None:
            return cls(**shared, error_code=error["code"], error_message=error["message"], retryable=error["retryable"])
        body = fields["response"]["body"]
        (choice,), usage = body["choices"], body["usage"]
        return cls(
            **shared,
            answer=choice["message"]["content"],
            finish_reason=choice["finish_reason"],
            prompt_tokens=usage["prompt_tokens"],
            completion_tokens=usage["completion_tokens"],
            model=body["model"],
        )
