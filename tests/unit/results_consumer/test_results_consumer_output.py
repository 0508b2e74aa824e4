"""The spelling of output lines."""

import csv
import io
import json
from typing import Any

import pytest

from results_consumer.output import (
    CSV_COLUMNS,
    LineOrigin,
    OutputForm,
    OutputLine,
    attested_line,
    encode_head,
    encode_line,
    unattested_line,
)
from wire.payload import ErrorCode, Outcome, Result

MODEL = "test-bloom@sha256:" + "08" * 32
ORIGIN = LineOrigin("abcdefghijklmnop", 3, 1_790_000_000, MODEL)


def answered(text: str = "Thirty days.", custom_id: str = "case-17") -> OutputLine:
    """A succeeded line."""
    return attested_line(ORIGIN, Result(16, 17, custom_id, Outcome.SUCCEEDED, text, "stop", 41, 88))


def as_json(line: OutputLine) -> Any:
    """The line's value by its JSON spelling."""
    return json.loads(encode_line(line, OutputForm.JSONL))


def as_cells(line: OutputLine) -> dict[str, str]:
    """The line's cells by its CSV spelling."""
    text = (encode_head(OutputForm.CSV) + encode_line(line, OutputForm.CSV)).decode()
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    return row


def test_an_answer_is_a_line_of_openai_batch_output_and_more() -> None:
    """Every field that OpenAI's line has is there, and ours beside them."""
    assert as_json(answered()) == {
        "id": "batch_req_abcdefghijklmnop_16",
        "custom_id": "case-17",
        "outcome": "succeeded",
        "response": {
            "status_code": 200,
            "request_id": "abcdefghijklmnop-3",
            "body": {
                "id": "chatcmpl-abcdefghijklmnop-16",
                "object": "chat.completion",
                "created": 1_790_000_000,
                "model": MODEL,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "Thirty days."},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 41, "completion_tokens": 88, "total_tokens": 129},
            },
        },
        "error": None,
        "attested": True,
        "receipt": None,
        "line": 17,
    }


def test_a_truncated_answer_is_shown_and_says_so() -> None:
    """The text that there is comes out, with the outcome and the finish reason that tell it apart."""
    value = as_json(attested_line(ORIGIN, Result(0, 1, "a", Outcome.TRUNCATED, "Thirty", "length", 4, 8)))
    assert value["outcome"] == "truncated"
    assert value["response"]["body"]["choices"][0]["finish_reason"] == "length"
    assert value["error"] is None


def test_an_attested_error_has_code_message_and_line_and_no_response() -> None:
    """The enclave's detail is the message."""
    result = Result(
        17, 18, "b", Outcome.ERRORED, error=ErrorCode.CONTEXT_LENGTH_EXCEEDED, detail="2130 tokens, limit 2048"
    )
    value = as_json(attested_line(ORIGIN, result))
    assert value["response"] is None
    assert value["error"] == {
        "code": "context_length_exceeded",
        "message": "2130 tokens, limit 2048",
        "param": None,
        "line": 18,
        "retryable": False,
    }


def test_every_code_has_a_message_of_its_own() -> None:
    """Without a detail the code's own text stands there."""
    results = [Result(0, 1, "a", Outcome.ERRORED, error=code) for code in ErrorCode]
    messages = {as_json(attested_line(ORIGIN, result))["error"]["message"] for result in results}
    assert len(messages) == len(results)
    assert all(messages)


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.EXPIRED, "batch_expired"), (Outcome.CANCELED, "batch_cancelled")]
)
def test_expired_and_canceled_carry_openai_codes(outcome: Outcome, code: str) -> None:
    """They are errors that another job may mend."""
    value = as_json(attested_line(ORIGIN, Result(0, 1, "a", outcome)))
    assert (value["outcome"], value["error"]["code"], value["error"]["retryable"]) == (outcome.value, code, True)


def test_an_unattested_line_knows_neither_line_nor_custom_id() -> None:
    """Both are sealed: what the bridge alone says cannot name them."""
    value = as_json(unattested_line(ORIGIN, 5, Outcome.ERRORED, ErrorCode.ENCLAVE_LOST))
    assert value["id"] == "batch_req_abcdefghijklmnop_5"
    assert (value["custom_id"], value["line"], value["attested"], value["response"]) == (None, None, False, None)
    assert (value["error"]["code"], value["error"]["retryable"]) == ("enclave_lost", True)


TEXTS = [
    "plain",
    "",
    'tab\tline\r\nquote" comma, back\\slash',
    "\x00\x1b[31mred\x7f\x85\x9b",
    "退職 Größe 🎉",
    "\u2028\u2029 \u202eevil\u202c \u2066x\u2069",
    "'apostrophe",
]


@pytest.mark.parametrize("text", TEXTS)
def test_json_gives_every_text_back_and_sends_no_control_to_a_terminal(text: str) -> None:
    """One line, nothing in it that acts on a terminal, and the exact text after parsing."""
    encoded = encode_line(answered(text), OutputForm.JSONL).decode()
    assert encoded.endswith("\n")
    assert encoded[:-1].isprintable()
    assert len(encoded.splitlines()) == 1
    assert json.loads(encoded)["response"]["body"]["choices"][0]["message"]["content"] == text


def test_a_csv_row_has_the_columns() -> None:
    """Names and values, in one fixed order."""
    assert list(as_cells(answered())) == list(CSV_COLUMNS)
    assert as_cells(answered()) == {
        "custom_id": "case-17",
        "line": "17",
        "outcome": "succeeded",
        "answer": "Thirty days.",
        "finish_reason": "stop",
        "prompt_tokens": "41",
        "completion_tokens": "88",
        "error_code": "",
        "error_message": "",
        "attested": "true",
    }
    row = as_cells(unattested_line(ORIGIN, 5, Outcome.CANCELED, None))
    assert (row["custom_id"], row["line"], row["error_code"], row["attested"]) == ("", "", "batch_cancelled", "false")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_never_begins_as_a_formula(start: str) -> None:
    """A spreadsheet gets an apostrophe first, in the answer and in the custom_id alike."""
    row = as_cells(answered(f'{start}cmd|" /C calc"!A0'))
    assert row["answer"].startswith("'")
    assert as_cells(answered(custom_id="-1"))["custom_id"] == "'-1"


def test_csv_keeps_quotes_commas_and_lines_and_replaces_controls() -> None:
    """What CSV can say it says; what would act on a terminal becomes the replacement character."""
    assert as_cells(answered('a "b", c\nd\te'))["answer"] == 'a "b", c\nd\te'
    assert as_cells(answered("a\x1b[31mb\x00\u202e"))["answer"] == "a\ufffd[31mb\ufffd\ufffd"


def test_json_lines_have_no_head() -> None:
    """The first line is a record."""
    assert encode_head(OutputForm.JSONL) == b""
