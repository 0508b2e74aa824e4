"""One line of output for one line of input: the value, and its two spellings."""

import csv
import enum
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from wire.payload import ErrorCode, Outcome, Result


class OutputForm(enum.StrEnum):
    """How lines are spelled."""

    JSONL = "jsonl"
    CSV = "csv"


CSV_COLUMNS: Final = (
    "custom_id",
    "line",
    "outcome",
    "answer",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "error_code",
    "error_message",
    "attested",
)

ANSWERED: Final = frozenset({Outcome.SUCCEEDED, Outcome.TRUNCATED})
"""Outcomes that come with an answer."""

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

# JSON must escape C0 only. These too would act on a terminal or reorder a line on a screen: DEL, C1, line and paragraph
# separators, bidirectional embeddings, overrides and isolates.
_ACTING: Final = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a cell begins with that a spreadsheet runs."""


@dataclass(frozen=True, slots=True)
class RecordError:
    """Why a record has no answer; `retryable` if the same question may well succeed in another job."""

    code: str
    message: str
    retryable: bool


_MESSAGES: Final = {
    ErrorCode.EMPTY_FILE: "the input is empty",
    ErrorCode.INVALID_ENCODING: "the line is not UTF-8",
    ErrorCode.INVALID_JSON_LINE: "the line is not a JSON object",
    ErrorCode.INVALID_RECORD: "a field of the line is missing or wrong",
    ErrorCode.LINE_TOO_LONG: "the line is too long",
    ErrorCode.QUESTION_TOO_LARGE: "the question is too large",
    ErrorCode.DUPLICATE_CUSTOM_ID: "the custom_id stands on an earlier line too",
    ErrorCode.URL_MISMATCH: "the url is not the one that is supported",
    ErrorCode.MISSING_COLUMN: "the row lacks a column",
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: "the question is longer than the model's context",
    ErrorCode.DECRYPT_FAILED: "the enclave could not open the sealed question",
    ErrorCode.ENCLAVE_LOST: "the enclave was lost each time that it worked on this",
    ErrorCode.POISON_RECORD: "the enclave failed each time that it worked on this record",
    ErrorCode.OUTPUT_TOO_LARGE: "the answer is too large",
    ErrorCode.INTERNAL_ERROR: "the enclave failed on this record",
}
_RETRYABLE: Final = frozenset({ErrorCode.ENCLAVE_LOST, ErrorCode.INTERNAL_ERROR})
ERRORS: Final[Mapping[str, RecordError]] = {
    # OpenAI's names for what its own lines of these outcomes carry.
    Outcome.EXPIRED: RecordError("batch_expired", "the job's deadline passed before this record's turn", True),
    Outcome.CANCELED: RecordError("batch_cancelled", "the job was canceled before this record's turn", True),
    **{code: RecordError(code.value, message, code in _RETRYABLE) for code, message in _MESSAGES.items()},
}
"""By code of an errored record, or by the outcome of another, with what is said where the enclave gives no detail."""


@dataclass(frozen=True, slots=True)
class OutputLine:
    """What became of one record.

    `attested` tells the enclave's word from the bridge's. In the latter case `line` and `custom_id` are None, since
    they are sealed, unless the input is at hand. `answer` is None unless the outcome is succeeded or truncated.
    `model` is `name@sha256:digest`, `created` seconds since 1970 at which the job was made, `receipt` the SHA-256 of
    the receipt in hexadecimal.
    """

    job: str
    number: int
    chunk: int
    created: int
    outcome: Outcome
    attested: bool
    line: int | None = None
    custom_id: str | None = None
    answer: str | None = None
    finish_reason: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: RecordError | None = None
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class LineOrigin:
    """What the lines of one chunk have in common."""

    job: str
    chunk: int
    created: int
    model: str = ""
    receipt: str | None = None


def attested_line(origin: LineOrigin, result: Result) -> OutputLine:
    """The line for a result that the enclave sealed."""
    return OutputLine(
        job=origin.job,
        number=result.number,
        chunk=origin.chunk,
        created=origin.created,
        outcome=result.outcome,
        attested=True,
        line=result.line,
        custom_id=result.custom_id,
        answer=result.text if result.answered else None,
        finish_reason=result.finish_reason,
        model=origin.model,
        prompt_tokens=result.prompt_tokens,
        completion_tokens=result.completion_tokens,
        error=record_error(result.outcome, result.error, result.detail),
        receipt=origin.receipt,
    )


def unattested_line(origin: LineOrigin, number: int, outcome: Outcome, code: ErrorCode | None) -> OutputLine:
    """The line for a record without an answer, in the bridge's word, or by the deadline and the reader's clock."""
    return OutputLine(
        job=origin.job,
        number=number,
        chunk=origin.chunk,
        created=origin.created,
        outcome=outcome,
        attested=False,
        error=record_error(outcome, code),
    )


def record_error(outcome: Outcome, code: ErrorCode | None, detail: str = "") -> RecordError | None:
    """Why a record has no answer, in the enclave's words if it gave a detail; None if it has one."""
    if outcome in ANSWERED:
        return None
    error = ERRORS[code or outcome]
    return replace(error, message=detail) if detail else error


def encode_line(line: OutputLine, form: OutputForm) -> bytes:
    """The line in UTF-8, with its end."""
    if form is OutputForm.CSV:
        return _csv(row(line))
    text = _ENCODER.encode(json_value(line))
    # Beyond ASCII there is nothing but the inside of JSON strings, where an escape means the same.
    return _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() + b"\n"


def encode_head(form: OutputForm) -> bytes:
    """What stands before the first line: the header row of a CSV, nothing otherwise."""
    return b"" if form is OutputForm.JSONL else _csv(CSV_COLUMNS)


def json_value(line: OutputLine) -> dict[str, object]:
    """What a line of JSON says."""
    return {
        "id": f"batch_req_{line.job}_{line.number}",
        "custom_id": line.custom_id,
        "outcome": line.outcome.value,
        "response": None if line.answer is None else _response(line),
        "error": None if line.error is None else _json_error(line.error, line.line),
        "attested": line.attested,
        "receipt": line.receipt,
        "line": line.line,
    }


def _response(line: OutputLine) -> dict[str, object]:
    message = {"role": "assistant", "content": line.answer}
    return {
        "status_code": 200,
        "request_id": f"{line.job}-{line.chunk}",
        "body": {
            "id": f"chatcmpl-{line.job}-{line.number}",
            "object": "chat.completion",
            "created": line.created,
            "model": line.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": line.finish_reason}],
            "usage": {
                "prompt_tokens": line.prompt_tokens,
                "completion_tokens": line.completion_tokens,
                "total_tokens": line.prompt_tokens + line.completion_tokens,
            },
        },
    }


def _json_error(error: RecordError, line: int | None) -> dict[str, object]:
    return {
        "code": error.code,
        "message": error.message,
        "param": None,
        "line": line,
        "retryable": error.retryable,
    }


def row(line: OutputLine) -> tuple[str, ...]:
    """What the cells of a row say, in the order of `CSV_COLUMNS`."""
    answered = line.answer is not None  # as in JSON lines, tokens are told of answers: only those are signed one by one
    return (
        line.custom_id or "",
        "" if line.line is None else str(line.line),
        line.outcome.value,
        line.answer or "",
        line.finish_reason,
        str(line.prompt_tokens if answered else 0),
        str(line.completion_tokens if answered else 0),
        line.error.code if line.error else "",
        line.error.message if line.error else "",
        "true" if line.attested else "false",
    )


def _csv(cells: tuple[str, ...]) -> bytes:
    """One row after RFC 4180.

    A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@`, tab or line end as a formula: such a cell gets a
    leading apostrophe, as OWASP advises. Control characters other than tab and line feed become U+FFFD, since CSV has
    no escape for them. JSON lines alter nothing; whoever needs the exact text takes those.
    """
    text = io.StringIO()
    csv.writer(text).writerow(_cell(cell) for cell in cells)
    return text.getvalue().encode()


def _cell(text: str) -> str:
    safe = _UNPRINTABLE.sub("\ufffd", text)
    return f"'{safe}" if text.startswith(FORMULA) else safe
