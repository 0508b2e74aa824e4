"""Reads lines of output back into what was signed about them."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from results_consumer.output import ANSWERED, ERRORS
from wire.payload import ErrorCode, Outcome, Result

MAX_LINE: Final = 16 * 1024 * 1024
_ID: Final = re.compile(r"batch_req_([a-z2-7]{16})_([0-9]{1,13})")
_MODEL: Final = re.compile(r".*@sha256:([0-9a-f]{64})", re.DOTALL)


class LineError(Exception):
    """A line is not one that `fetch` wrote."""


@dataclass(frozen=True, slots=True)
class ReadLine:
    """One line of output: `result` as the enclave committed to it, if it is attested; `model` as digest, if stated.

    An attested line that says what no enclave signs, such as an error beside an answer, has no `result` either.
    Only if it `states_receipt` does `receipt` None say that there is none.
    """

    job: str
    number: int
    outcome: Outcome
    attested: bool
    receipt: str | None
    model: bytes | None
    result: Result | None
    states_receipt: bool = True


def read_line(data: bytes) -> ReadLine:
    """Read a line of JSON output.

    Raises:
        LineError: it is not one that `fetch` wrote.
    """
    try:
        value = json.loads(data) if len(data) <= MAX_LINE else None
        return _read(value)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise LineError from None


def signed_error(outcome: Outcome, code: str | None, message: str | None) -> tuple[ErrorCode | None, str] | None:
    """The error and the detail that were signed of a record of which a line states this; None if nobody signs such.

    Raises:
        ValueError: there is no such code.
    """
    if outcome in ANSWERED:
        return (None, "") if code is None and message is None else None
    error = ErrorCode(code or "") if outcome is Outcome.ERRORED else None
    expected = ERRORS[error or outcome]
    if code != expected.code or not message:
        return None
    return error, "" if message == expected.message else message


def _read(value: Any) -> ReadLine:
    found = _ID.fullmatch(value["id"])
    if found is None:
        raise LineError
    outcome, attested = Outcome(value["outcome"]), value["attested"]
    if type(attested) is not bool:
        raise LineError
    model = None
    if value["response"] is not None:
        stated = _MODEL.fullmatch(value["response"]["body"]["model"])
        model = None if stated is None else bytes.fromhex(stated[1])
    return ReadLine(
        job=found[1],
        number=int(found[2]),
        outcome=outcome,
        attested=attested,
        receipt=value["receipt"],
        model=model,
        result=_result(int(found[2]), outcome, value) if attested else None,
    )


def _result(number: int, outcome: Outcome, value: Any) -> Result | None:
    stated, response = value["error"], value["response"]
    code, message = (None, None) if stated is None else (_typed(stated["code"], str), _typed(stated["message"], str))
    signed = signed_error(outcome, code, message)
    if signed is None or (response is None) is (outcome in ANSWERED):
        return None
    if stated is not None and stated["retryable"] is not ERRORS[signed[0] or outcome].retryable:
        return None
    result = Result(
        number=number,
        line=_typed(value["line"], int),
        custom_id=_typed(value["custom_id"], str),
        outcome=outcome,
        error=signed[0],
        detail=signed[1],
    )
    if response is None:
        return result
    (choice,), usage = response["body"]["choices"], response["body"]["usage"]
    return replace(
        result,
        text=_typed(choice["message"]["content"], str),
        finish_reason=_typed(choice["finish_reason"], str),
        prompt_tokens=_typed(usage["prompt_tokens"], int),
        completion_tokens=_typed(usage["completion_tokens"], int),
    )


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise LineError
    return value
